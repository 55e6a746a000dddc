package servers

import (
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

func makeIntegrations(v Visit) (any, error) {
	got, err := call(v, api.ListIntegrations, api.ListQuery{})
	all := make([]page.Integration, 0, len(got.Items))
	for _, r := range got.Items {
		all = append(all, page.Integration{Integration: r})
	}
	return all, err
}

func changeIntegration(v Visit) (to, text string, err error) {
	paused, ok := v.readPause()
	if !ok {
		return "", "", errNothing
	}
	change := api.IntegrationChange{Paused: &paused}
	r, err := call(v, api.ChangeIntegration, api.AtWith(v.Path("integration"), change))
	if err != nil {
		return "", "", err
	}
	text = r.Name + " is resumed. It may do what its grants say."
	if r.Paused != "" {
		text = r.Name + " is paused: it may do nothing."
	}
	return v.addressOf("integration"), text, nil
}

func testIntegration(v Visit) (to, text string, err error) {
	_, err = call(v, api.TestIntegration, v.readRef("integration"))
	return v.addressOf("integration"), "The broker has let the gateway in.", err
}

func removeIntegration(v Visit) (to, text string, err error) {
	done, err := call(v, api.RemoveIntegration, v.readRef("integration"))
	return "/integrations", page.DescribeChanges(done), err
}
