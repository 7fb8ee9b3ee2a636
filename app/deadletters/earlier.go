package deadletters

import "context"

// What the plan has done already, in this run or in an earlier one, is the audit's word.

// remember takes over which letters earlier runs of the same plan have acted on: what has come of those is asked,
// and nothing is done to them again.
func (r *run) remember(ctx context.Context) error {
	services := map[string]bool{}
	for _, item := range r.plan.Items {
		services[item.Service] = true
	}
	for service := range services {
		if err := r.rememberService(ctx, service); err != nil {
			return err
		}
	}
	r.remembered = true
	return nil
}

// rememberService notes the letters of a service on which the plan has acted.
func (r *run) rememberService(ctx context.Context, service string) error {
	ids, err := r.desk.audit.Begun(ctx, service, r.request.By)
	for _, id := range ids {
		r.earlier[id] = true
	}
	return err
}

// actedOn says whether this plan has acted on a letter, which is there still. It is the audit's word, and not
// drawn from where the letter is: it may have failed again since, or somebody else may have brought it there.
func (r *run) actedOn(item Item) bool {
	_, there := r.progress[item.ID]
	return there && r.earlier[item.ID]
}
