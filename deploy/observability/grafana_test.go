package observability

import (
	"testing"
)

// Dashboards are told apart, ask the data source that is chosen, and no panel stands on another.
func TestDashboards(t *testing.T) {
	all := dashboards(t)
	uids := map[string]string{}
	for name, d := range all {
		if other := uids[d.UID]; other != "" || d.UID == "" || len(d.UID) > 40 || d.Title == "" || d.SchemaVersion == 0 {
			t.Errorf("%s: uid %q (also of %q), title %q, schema %d", name, d.UID, other, d.Title, d.SchemaVersion)
		}
		uids[d.UID] = name
		if len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" || d.Templating.List[0].Query != "prometheus" {
			t.Errorf("%s: the first variable is not the data source", name)
		}
		checkPanels(t, name, d.Panels)
	}
	for _, name := range []string{"operator", "organiser", "process"} {
		if _, there := all[name]; !there {
			t.Errorf("there is no dashboard %s", name)
		}
	}
}

func checkPanels(t *testing.T, name string, panels []panel) {
	t.Helper()
	chosen := func(d *datasource) bool { return d != nil && d.Type == "prometheus" && d.UID == "${datasource}" }
	ids := map[int]bool{}
	for i, p := range panels {
		at := p.GridPos
		if ids[p.ID] || p.ID == 0 || p.Title == "" || at.W <= 0 || at.H <= 0 || at.X < 0 || at.X+at.W > 24 {
			t.Errorf("%s: panel %d %q at %+v", name, p.ID, p.Title, at)
		}
		ids[p.ID] = true
		for _, other := range panels[:i] {
			o := other.GridPos
			if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
				t.Errorf("%s: %q and %q stand on each other", name, p.Title, other.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if !chosen(p.Datasource) || len(p.Targets) == 0 {
			t.Errorf("%s, %q: data source %+v, %d targets", name, p.Title, p.Datasource, len(p.Targets))
		}
		for _, target := range p.Targets {
			if !chosen(target.Datasource) || target.Expr == "" || target.RefID == "" {
				t.Errorf("%s, %q: target %+v", name, p.Title, target)
			}
		}
	}
}

// Grafana finds the dashboards, and each source that they, or exemplars, lead to.
func TestGrafanaIsProvisioned(t *testing.T) {
	var sources struct {
		APIVersion  int `json:"apiVersion"`
		Datasources []struct {
			Name      string `json:"name"`
			UID       string `json:"uid"`
			Type      string `json:"type"`
			Access    string `json:"access"`
			URL       string `json:"url"`
			IsDefault bool   `json:"isDefault"`
			JSONData  struct {
				TimeInterval string `json:"timeInterval"`
				Exemplars    []struct {
					Name string `json:"name"`
					UID  string `json:"datasourceUid"`
				} `json:"exemplarTraceIdDestinations"`
			} `json:"jsonData"`
		} `json:"datasources"`
	}
	read(t, "grafana/provisioning/datasources/littlevote.yaml", &sources)
	types, leads := map[string]string{}, 0
	for _, s := range sources.Datasources {
		types[s.UID] = s.Type
	}
	for _, s := range sources.Datasources {
		for _, e := range s.JSONData.Exemplars {
			leads++
			if types[e.UID] != "jaeger" || e.Name != "trace_id" {
				t.Errorf("exemplars lead from %s to %s by %s", s.Name, e.UID, e.Name)
			}
		}
	}
	if leads != 1 {
		t.Errorf("exemplars lead to %d places", leads)
	}
	var providers struct {
		APIVersion int `json:"apiVersion"`
		Providers  []struct {
			Name            string            `json:"name"`
			Folder          string            `json:"folder"`
			Type            string            `json:"type"`
			DisableDeletion bool              `json:"disableDeletion"`
			AllowUIUpdates  bool              `json:"allowUiUpdates"`
			Options         map[string]string `json:"options"`
		} `json:"providers"`
	}
	read(t, "grafana/provisioning/dashboards/littlevote.yaml", &providers)
	if len(providers.Providers) != 1 || providers.Providers[0].Options["path"] == "" {
		t.Errorf("%+v", providers)
	}
}
