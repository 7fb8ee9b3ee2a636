package httpapi

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// page answers GET /problems/{code}, the address that a problem's type is.
func (w problems) page(c *gin.Context) {
	a, ok := adviceOf(c.Param("code"))
	if !ok {
		w.write(c, errNoSuchAdvice)
		return
	}
	if !wantsHTML(c) {
		c.String(http.StatusOK, "%s\n%s (HTTP %d)\n\n%s\n", a.code, a.title, a.status, a.remedy)
		return
	}
	sendHTML(c, a.title, fmt.Sprintf("<p><code>%s</code>, HTTP %d</p>\n<p>%s</p>\n<p><a href=\"/problems\">All problems</a> · <a href=\"/docs\">The API</a></p>\n",
		a.code, a.status, html.EscapeString(a.remedy)))
}

// problemList answers GET /problems.
func problemList(c *gin.Context) {
	var b strings.Builder
	if !wantsHTML(c) {
		for _, a := range advices {
			fmt.Fprintf(&b, "%-26s %d  %s\n", a.code, a.status, a.title)
		}
		c.String(http.StatusOK, "%s", b.String())
		return
	}
	b.WriteString("<table>\n")
	for _, a := range advices {
		fmt.Fprintf(&b, "<tr><td><a href=\"/problems/%s\"><code>%s</code></a></td><td>%d</td><td>%s</td></tr>\n",
			a.code, a.code, a.status, html.EscapeString(a.title))
	}
	b.WriteString("</table>\n")
	sendHTML(c, "Problems", b.String())
}

// wantsHTML says whether a browser is asking.
func wantsHTML(c *gin.Context) bool {
	return strings.Contains(c.GetHeader("Accept"), "text/html")
}

// sendHTML puts a body into the frame that all pages share. Nothing is loaded from elsewhere.
func sendHTML(c *gin.Context, title, body string) {
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	c.Header("Vary", "Accept")
	c.Data(http.StatusOK, "text/html; charset=utf-8", []byte(
		"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>"+
			html.EscapeString(title)+"</title>\n<style>"+pageStyle+"</style>\n<h1>"+html.EscapeString(title)+"</h1>\n"+body+"</html>\n"))
}

const pageStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2b28;background:#fff}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #cfd8d5}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f3f6f5;padding:.75rem;overflow-x:auto}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.25rem 1rem .25rem 0}
a{color:#0b6b57}.method{display:inline-block;min-width:3.5rem;font-weight:700}section{margin:1.5rem 0}
@media(prefers-color-scheme:dark){body{color:#dbe7e3;background:#121917}pre{background:#1c2623}a{color:#67cdb5}h2{border-color:#33423d}}`
