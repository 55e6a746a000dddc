package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/gateway/admin/client"
	"latchkey/gateway/console/page"
	"latchkey/gateway/console/servers"
)

// serverWait is how long somebody else's server may take while a browser waits for the answer.
const serverWait = 45 * time.Second

// listServerRoutes returns the pages and forms about other people's servers.
func listServerRoutes() (out []route) {
	for _, p := range servers.Pages {
		out = append(out, route{p.Pattern, p.Operation, func(v *visit) error { return v.showServers(p) }})
	}
	for _, f := range servers.Forms {
		out = append(out, route{f.Pattern, f.Operation, func(v *visit) error { return v.changeServers(f) }})
	}
	return out
}

func (v *visit) showServers(p *servers.Page) error {
	data, err := p.Make(v.forServers(v.r.Context()))
	if err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), p.Name, data)
}

// changeServers does what a form asks. What somebody else's server answers is shown on the page of
// the form: it says nothing about this gateway.
func (v *visit) changeServers(f servers.Form) error {
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(serverWait + writeWait))
	ctx, cancel := context.WithTimeout(v.r.Context(), serverWait)
	defer cancel()
	to, text, err := f.Do(v.forServers(ctx))
	show := func(v *visit) error { return v.showServers(f.Page) }
	switch p := (*client.Problem)(nil); {
	case err == nil:
		return v.reportDone(to, "%s", text)
	case errors.As(err, &p) && p.Status == http.StatusServiceUnavailable:
		v.problem = page.Sentence(p.Detail)
		return show(v)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		v.problem = "The server has not answered in " + serverWait.String() + "."
		return show(v)
	}
	return v.showAgain(err, show)
}

func (v *visit) forServers(ctx context.Context) servers.Visit {
	return servers.Visit{Context: ctx, Send: v.send, Path: v.r.PathValue, Field: v.readField,
		Values: func(name string) []string { return v.r.PostForm[name] }, Time: v.readOptionalTime}
}
