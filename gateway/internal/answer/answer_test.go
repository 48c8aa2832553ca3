package answer

import (
	"errors"
	"testing"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func TestEveryTextIsThereInEveryLanguage(t *testing.T) {
	all := NewTexts()
	for text := range texts {
		for language := range languages {
			if all.Say(text, language) == "" {
				t.Errorf("text %d is missing in language %d", text, language)
			}
		}
	}
}

func TestPublishedTexts(t *testing.T) {
	all := NewTexts()
	for code, want := range map[statusv1.Code]string{
		statusv1.Code_CODE_OK:                "投票成功",
		statusv1.Code_CODE_TICKET_INVALID:    "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_EXPIRED:    "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_SUPERSEDED: "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_EXHAUSTED:  "票据使用次数已耗尽",
		statusv1.Code_CODE_INTERNAL:          "系统内部错误",
	} {
		if got := all.Say(ForCode(code), Chinese); got != want {
			t.Errorf("%v: got %q, want %q", code, got, want)
		}
	}
	if got := all.Say(NameFormatMain, Chinese); got != "用户名格式不正确（必须为A-Z）" {
		t.Errorf("name: %q", got)
	}
	if got := all.Say(NamesEmpty, Chinese); got != "用户名列表不能为空" {
		t.Errorf("empty: %q", got)
	}
}

// A new code needs a text: this fails until it has one.
func TestEveryCodeHasAText(t *testing.T) {
	for number, name := range statusv1.Code_name {
		code := statusv1.Code(number)
		internal := code == statusv1.Code_CODE_INTERNAL || code == statusv1.Code_CODE_UNSPECIFIED
		if (ForCode(code) == Internal) != internal {
			t.Errorf("%s has no text of its own", name)
		}
	}
}

func TestNames(t *testing.T) {
	all := NewTexts()
	for code, want := range map[statusv1.Code]string{
		statusv1.Code_CODE_OK:              "OK",
		statusv1.Code_CODE_OUTCOME_UNKNOWN: "OUTCOME_UNKNOWN",
		statusv1.Code_CODE_UNSPECIFIED:     "INTERNAL",
		statusv1.Code(9999):                "INTERNAL",
	} {
		if got := all.Name(code); got != want {
			t.Errorf("%d: got %s, want %s", code, got, want)
		}
	}
}

func TestNegotiate(t *testing.T) {
	for header, want := range map[string]Language{
		"":                           Chinese,
		"en":                         English,
		"en-GB":                      English,
		"EN":                         English,
		"zh-Hans-CN":                 Chinese,
		"fr, de;q=0.5":               Chinese,
		"fr, en;q=0.5":               English,
		"zh;q=0.5, en;q=0.9":         English,
		"zh;q=0.9, en;q=0.5":         Chinese,
		"en;q=0":                     Chinese,
		"en;q=7":                     Chinese,
		"en;q=x":                     Chinese,
		"*":                          Chinese,
		" en ; q=0.2 ":               English,
		"en-US,en;q=0.9,zh-CN;q=0.8": English,
		";;;,,,=;q=,,;q=1;;":         Chinese,
	} {
		if got := Negotiate(header, Chinese); got != want {
			t.Errorf("%q: got %d, want %d", header, got, want)
		}
	}
	if Negotiate("fr", English) != English || Negotiate("zh", English) != Chinese {
		t.Error("the fallback is not what was set")
	}
}

func TestRefusalOf(t *testing.T) {
	cause := errors.New("secret")
	if got := RefusalOf(cause); got.Code != statusv1.Code_CODE_INTERNAL || got.Text != Internal || !errors.Is(got, cause) {
		t.Errorf("unknown error: %+v", got)
	}
	refusal := NotValid(KeyFormat)
	if got := RefusalOf(errors.Join(refusal)); got != refusal {
		t.Errorf("wrapped refusal: %+v", got)
	}
}
