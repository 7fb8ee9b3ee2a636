package deadletters

import "context"

// remember takes over which letters earlier runs of the same plan have acted on: what has come of those is asked,
// and nothing is done to them again.
func (w *work) remember(ctx context.Context) error {
	if w.known {
		return nil
	}
	services := map[string]bool{}
	for _, item := range w.plan.Items {
		services[item.Service] = true
	}
	for service := range services {
		if err := w.acted(ctx, service); err != nil {
			return err
		}
	}
	w.known = true
	return nil
}

// acted notes the letters of a service on which the plan has acted.
func (w *work) acted(ctx context.Context, service string) error {
	ids, err := w.desk.store.Begun(ctx, service, w.request.By)
	for _, id := range ids {
		w.before[id] = true
	}
	return err
}

// resumed says whether this plan has acted on a letter, which is there still. It is the audit's word, and not
// drawn from where the letter is: it may have failed again since, or somebody else may have brought it there.
func (w *work) resumed(item Item) bool {
	_, there := w.now[item.ID]
	return there && w.before[item.ID]
}
