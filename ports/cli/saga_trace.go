package cli

import "strings"

// traceViewer gives TRACE_URL, where people look at traces; "" where nobody has said.
func (p *program) traceViewer() (string, error) {
	if p.Config == nil {
		return "", nil
	}
	settings, err := p.Config()
	for _, s := range settings {
		if s.Name == "TRACE_URL" {
			return s.Value, err
		}
	}
	return "", err
}

// traceLink is where one trace is looked at, or what to do with its id where nobody has said where.
func traceLink(viewer, id string) string {
	const place = "{traceId}"
	switch {
	case viewer == "":
		return "search for it where your traces are, or set TRACE_URL for a link"
	case strings.Contains(viewer, place):
		return strings.ReplaceAll(viewer, place, id)
	}
	return strings.TrimSuffix(viewer, "/") + "/" + id
}
