package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// restAnswer is what the REST API answers.
type restAnswer struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
	Reason  string `json:"reason"`
	Next    string `json:"next"`
}

// rest makes a request to the API, with a body where it is not empty.
func (r *running) rest(method, path, body string, header ...string) (int, restAnswer, http.Header) {
	r.t.Helper()
	if body != "" {
		header = append(header, "Content-Type", "application/json")
	}
	status, text, got := r.send(method, "http://"+r.Addr()+path, body, header...)
	var answer restAnswer
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.t.Fatalf("%s %s: %d, %v in %s", method, path, status, err, text)
	}
	return status, answer, got
}

func TestS80UsersPostsAndLikesByREST(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	alice := map[string]any{"id": 7300000000000001.0, "username": "alice", "createTime": decided}
	post := func(id float64, count float64, liked bool) any {
		return map[string]any{
			"id": id, "userId": 7300000000000001.0, "title": fmt.Sprintf("title of %.0f", id), "content": "content",
			"thumbCount": count, "hasThumb": liked, "createTime": decided, "updateTime": decided,
		}
	}
	cookie := []string{"Cookie", "littlevote_session=" + aSession}
	for i, step := range []struct {
		method, path, body string
		header             []string
		want               restAnswer
	}{
		{"GET", "/api/user/get/login", "", nil, restAnswer{Code: 40100, Message: "身份验证失败", Reason: "UNAUTHENTICATED"}},
		{"POST", "/api/user/login", `{"name":"alice","password":"wrong"}`, nil, restAnswer{Code: 40100, Message: "身份验证失败", Reason: "UNAUTHENTICATED"}},
		{"POST", "/api/user/login", `{"name":"alice","password":"correct horse"}`, nil, restAnswer{Message: "ok", Data: alice, Reason: "OK"}},
		{"GET", "/api/user/get/login", "", cookie, restAnswer{Message: "ok", Data: alice, Reason: "OK"}},
		{"POST", "/api/thumb/do", `{"blogId":` + aPost + `}`, nil, restAnswer{Code: 40100, Message: "身份验证失败", Data: false, Reason: "UNAUTHENTICATED"}},
		{"POST", "/api/thumb/do", `{"blogId":` + aPost + `}`, cookie, restAnswer{Message: "ok", Data: true, Reason: "OK"}},
		{"POST", "/api/thumb/do", `{"blogId":"` + aPost + `"}`, cookie, restAnswer{Code: 50001, Message: "已经点过赞", Data: false, Reason: "ALREADY_LIKED"}},
		{"GET", "/api/blog/get?blogId=" + aPost, "", cookie, restAnswer{Message: "ok", Data: post(7305000000000001, 1, true), Reason: "OK"}},
		{"GET", "/api/blog/get?blogId=" + aPost, "", nil, restAnswer{Message: "ok", Data: post(7305000000000001, 1, false), Reason: "OK"}},
		{"GET", "/api/blog/list", "", cookie, restAnswer{Message: "ok", Data: []any{post(7305000000000002, 0, false), post(7305000000000001, 1, true)}, Reason: "OK", Next: "older"}},
		{"POST", "/api/thumb/undo", `{"blogId":` + aPost + `}`, cookie, restAnswer{Message: "ok", Data: true, Reason: "OK"}},
		{"POST", "/api/thumb/undo", `{"blogId":` + aPost + `}`, append([]string{"Accept-Language", "en"}, cookie...), restAnswer{Code: 50001, Message: "Not liked", Data: false, Reason: "NOT_LIKED"}},
		{"GET", "/api/blog/get?blogId=7305000000000009", "", nil, restAnswer{Code: 40400, Message: "内容不存在", Reason: "NOT_FOUND"}},
		{"GET", "/api/blog/get?blogId=x", "", nil, restAnswer{Code: 40400, Message: "内容不存在", Reason: "NOT_FOUND"}},
		{"GET", "/api/blog/list?first=101", "", nil, restAnswer{Code: 40000, Message: "请求格式不正确", Reason: "INVALID_ARGUMENT"}},
		{"POST", "/api/blog/add", `{"title":"t","content":"c"}`, cookie, restAnswer{Message: "ok", Data: 7305000000000001.0, Reason: "OK"}},
		{"POST", "/api/user/register", `{"name":"bob","password":"correct horse"}`, nil, restAnswer{Message: "ok", Data: map[string]any{"id": 7300000000000001.0, "username": "bob", "createTime": decided}, Reason: "OK"}},
		{"POST", "/api/user/logout", `{}`, cookie, restAnswer{Message: "ok", Data: true, Reason: "OK"}},
	} {
		status, got, header := r.rest(step.method, step.path, step.body, step.header...)
		if diff := cmp.Diff(step.want, got); diff != "" || status != http.StatusOK {
			t.Errorf("step %d, %s: %d %s", i, step.path, status, diff)
		}
		begun, ended := strings.Contains(header.Get("Set-Cookie"), aSession+"; "), strings.Contains(header.Get("Set-Cookie"), "Max-Age=0")
		if begun != (step.path == "/api/user/login" && got.Code == 0) || ended != (step.path == "/api/user/logout") {
			t.Errorf("step %d, %s: cookie %q", i, step.path, header.Get("Set-Cookie"))
		}
	}
	if status, got, _ := r.rest("GET", "/api/user/get/login", "", cookie...); status != http.StatusUnauthorized || got.Code != 40100 {
		t.Errorf("after the logout: %d %+v", status, got)
	}
}

// An id alone logs in only where the settings say so.
func TestS80LoginByIDIsASetting(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		s, b := newServices(t), newBlog()
		cfg := s.blogConfig(t, b)
		cfg.Gateway.RestLogin = allowed
		_, got, header := start(t, cfg).rest("GET", "/api/user/login?userId="+anAuthor, "")
		if (got.Code == 0) != allowed || strings.Contains(header.Get("Set-Cookie"), aSession) != allowed || (len(b.begun) == 1) != allowed {
			t.Errorf("allowed %v: %+v, %q, %v", allowed, got, header.Get("Set-Cookie"), b.begun)
		}
	}
	if DefaultConfig().Gateway.RestLogin {
		t.Error("it is allowed by default")
	}
}

func TestRESTRefusesWhatAnotherSiteCouldSend(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	like, cookie := `{"blogId":`+aPost+`}`, "littlevote_session="+aSession
	for _, test := range []struct {
		name, method, body string
		header             []string
		status             int
	}{
		{"a form", "POST", like, []string{"Content-Type", "text/plain", "Cookie", cookie}, http.StatusUnsupportedMediaType},
		{"no type", "POST", like, []string{"Cookie", cookie}, http.StatusUnsupportedMediaType},
		{"another origin", "POST", like, []string{"Content-Type", "application/json", "Cookie", cookie, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a link", "GET", "", []string{"Cookie", cookie}, http.StatusMethodNotAllowed},
		{"too long", "POST", `{"content":"` + strings.Repeat("x", 70<<10) + `"}`, []string{"Content-Type", "application/json", "Cookie", cookie}, http.StatusRequestEntityTooLarge},
		{"no JSON", "POST", `{"blogId":`, []string{"Content-Type", "application/json", "Cookie", cookie}, http.StatusBadRequest},
		{"a wrong session", "POST", like, []string{"Content-Type", "application/json", "Cookie", "littlevote_session=lvs_nobody"}, http.StatusUnauthorized},
	} {
		if status, text, _ := r.send(test.method, "http://"+r.Addr()+"/api/thumb/do", test.body, test.header...); status != test.status {
			t.Errorf("%s: %d, %s", test.name, status, text)
		}
	}
	if len(b.likes) != 0 {
		t.Errorf("%v", b.likes)
	}
}

// Every operation is described, and nothing else; the page for people loads nothing from elsewhere.
func TestS59TheAPIIsDescribed(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	_, text, header := r.send(http.MethodGet, "http://"+r.Addr()+"/api/openapi.json", "")
	var described struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &described); err != nil || !strings.HasPrefix(described.OpenAPI, "3.1.") || header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%v, version %s, %v", err, described.OpenAPI, header)
	}
	var operations []string
	for path, methods := range described.Paths {
		for method := range methods {
			operations = append(operations, strings.ToUpper(method)+" "+path)
			if status, text, _ := r.send(strings.ToUpper(method), "http://"+r.Addr()+path, "{}", "Content-Type", "application/json"); status != http.StatusOK || !strings.Contains(text, `"reason":`) {
				t.Errorf("%s %s: %d, %s", method, path, status, text)
			}
		}
	}
	if len(operations) != 10 {
		t.Errorf("described: %v", operations)
	}
	for path, part := range map[string]string{"/api/doc": "/api/doc/page.js", "/api/doc/page.js": "/api/openapi.json", "/api/doc/page.css": "body"} {
		status, text, header := r.send(http.MethodGet, "http://"+r.Addr()+path, "")
		if policy := header.Get("Content-Security-Policy"); status != http.StatusOK || !strings.Contains(text, part) || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("%s: %d, %q", path, status, policy)
		}
		if strings.Contains(text, "http://") || strings.Contains(text, "https://") {
			t.Errorf("%s names another address", path)
		}
	}
}
