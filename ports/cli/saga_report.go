package cli

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"strings"

	"millrace/sagas/replay"
)

// jsonList writes one JSON document of any number of results and holds none of them.
type jsonList struct {
	to io.Writer
	n  int
}

func (l *jsonList) add(r replay.Result) error {
	before := ",\n"
	if l.n == 0 {
		before = `{"sagas":[`
	}
	l.n++
	return l.write(before, r, "")
}

func (l *jsonList) end(s replay.Summary) error {
	before := `],"summary":`
	if l.n == 0 {
		before = `{"sagas":[],"summary":`
	}
	return l.write(before, s, "}\n")
}

func (l *jsonList) write(before string, v any, after string) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if _, err := fmt.Fprintf(l.to, "%s%s%s", before, text, after); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// junitReport writes a JUnit report, a test case a saga. Its counts stand in the first element and
// are known last, so room is left for them.
type junitReport struct{ file *os.File }

// junitHead is as wide as the counts can become.
const junitHead = 160

func (j *junitReport) begin() error {
	return j.write(xml.Header + strings.Repeat(" ", junitHead) + "\n")
}

type junitCase struct {
	XMLName xml.Name      `xml:"testcase"`
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitProblem `xml:"failure"`
	Error   *junitProblem `xml:"error"`
}

type junitProblem struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (j *junitReport) add(r replay.Result) error {
	one := junitCase{Name: r.OrderID, Class: "saga.replay"}
	if first, differs := r.First(); differs {
		lines := make([]string, len(r.Divergences))
		for i, d := range r.Divergences {
			lines[i] = d.String()
		}
		problem := &junitProblem{Type: string(first.Class), Message: string(first.Severity) + ": " + first.String(), Text: strings.Join(lines, "\n")}
		if r.Verdict == replay.Diverged {
			one.Failure = problem
		} else {
			one.Error = problem
		}
	}
	text, err := xml.Marshal(one)
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return j.write("  " + string(text) + "\n")
}

func (j *junitReport) end(s replay.Summary) error {
	if err := j.write("</testsuite>\n"); err != nil {
		return err
	}
	head := fmt.Sprintf(`<testsuite name="saga replay" tests="%d" failures="%d" errors="%d">`, s.Sagas, s.Diverged, s.Unreplayable)
	if _, err := j.file.WriteAt([]byte(head), int64(len(xml.Header))); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

func (j *junitReport) write(text string) error {
	if _, err := j.file.WriteString(text); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}
