package answer

import (
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Text names something to say.
type Text uint8

// What can be said. For a code that has no text of its own, ForCode finds the right one.
const (
	Internal Text = iota
	Counted
	TicketStale
	TicketExhausted
	NoTicket
	BallotClosed
	BallotNotFound
	VoterLimit
	KeyReused
	AlreadyLiked
	NotLiked
	Unauthenticated
	PermissionDenied
	RateLimited
	Overloaded
	Unavailable
	OutcomeUnknown
	OutcomeUnknownKeyless
	Invalid
	NameFormatMain
	NameFormat
	NamesEmpty
	NamesTooMany
	NameLength
	KeyFormat
	BallotFormat
	BallotConflict
	TokenFormat
	TokenNotReached
	VoteIDFormat
	VoteNotFound
	ResultsHidden
	NotFound
	AlreadyExists
	FailedPrecondition
	TenantFormat
	OtherTenant
	Retracted
	PageSize
	CursorFormat
	DateFormat
	EntityFormat
	EntityType
	EntitiesTooMany
	CountOverflow
	LockFailed
	texts // how many there are
)

// table holds the texts; those of rows S10 and S76 are the published ones.
func table() [texts][languages]string {
	return [texts][languages]string{
		Internal:              {"系统内部错误", "Internal error"},
		Counted:               {"投票成功", "Vote counted"},
		TicketStale:           {"票据已过期或版本不匹配", "The ticket has expired, or its version does not match"},
		TicketExhausted:       {"票据使用次数已耗尽", "All uses of the ticket are taken"},
		NoTicket:              {"当前没有可用的票据", "There is no current ticket"},
		BallotClosed:          {"投票未开放", "The ballot is not open"},
		BallotNotFound:        {"投票不存在", "There is no such ballot"},
		VoterLimit:            {"投票次数已达上限", "The voter has used all votes that the ballot allows"},
		KeyReused:             {"幂等键已用于其他投票", "The idempotency key was used before for another vote"},
		AlreadyLiked:          {"已经点过赞", "Liked already"},
		NotLiked:              {"尚未点赞", "Not liked"},
		Unauthenticated:       {"身份验证失败", "Credentials are missing or wrong"},
		PermissionDenied:      {"没有权限", "Not allowed"},
		RateLimited:           {"请求过于频繁，请稍后重试", "Too many requests: try again later"},
		Overloaded:            {"系统繁忙，请稍后重试", "The system is busy: try again later"},
		Unavailable:           {"服务暂不可用，请稍后重试", "The service is not available now: try again later"},
		OutcomeUnknown:        {"投票结果未知，请用相同的幂等键重试", "The outcome is unknown: send the same idempotency key again"},
		OutcomeUnknownKeyless: {"投票结果未知，可能已计入，请勿重复提交", "The outcome is unknown: the vote may count, so do not repeat it"},
		Invalid:               {"请求格式不正确", "The request is not valid"},
		NameFormatMain:        {"用户名格式不正确（必须为A-Z）", "A username is not valid: it must be one letter, A to Z"},
		NameFormat:            {"用户名不符合该投票的规则", "A username is not valid on this ballot"},
		NamesEmpty:            {"用户名列表不能为空", "The list of usernames must not be empty"},
		NamesTooMany:          {"用户名数量超过上限（64）", "There may be at most 64 usernames"},
		NameLength:            {"用户名过长", "A username is too long"},
		KeyFormat:             {"幂等键格式不正确（必须为UUID）", "The idempotency key must be a UUID of 36 characters"},
		BallotFormat:          {"投票名称格式不正确", "The ballot's name must be 1 to 64 of a-z, 0-9 and the hyphen"},
		BallotConflict:        {"两处投票名称不一致", "The two names of the ballot differ"},
		TokenFormat:           {"一致性令牌格式不正确", "The consistency token is not valid"},
		TokenNotReached:       {"暂时无法满足一致性令牌，请稍后重试", "No count as new as the token can be read now: try again later"},
		VoteIDFormat:          {"投票编号格式不正确（必须为UUID）", "The vote's id must be a UUID of 36 characters"},
		VoteNotFound:          {"投票记录不存在", "There is no such vote, or it was retracted before"},
		ResultsHidden:         {"投票结果暂不公开", "The ballot does not show its counts now"},
		NotFound:              {"内容不存在", "There is no such thing"},
		AlreadyExists:         {"已存在同名内容", "It exists already, with other contents"},
		FailedPrecondition:    {"当前状态不允许此操作", "Its state does not allow this now"},
		TenantFormat:          {"租户名称格式不正确", "Littlevote-Tenant must be one name of 1 to 32 of a-z, 0-9 and the hyphen"},
		OtherTenant:           {"令牌不属于该租户", "The token is of another tenant"},
		Retracted:             {"投票已撤回", "Vote retracted"},
		PageSize:              {"每页数量超出范围", "first is out of its bounds"},
		CursorFormat:          {"分页游标格式不正确", "The cursor is not valid"},
		DateFormat:            {"票据日期格式不正确（必须为RFC 3339）", "A date of the ticket does not parse as RFC 3339"},
		EntityFormat:          {"实体表示缺少键字段", "The representation lacks a key field"},
		EntityType:            {"未知的实体类型", "There is no entity of this type"},
		EntitiesTooMany:       {"实体数量超过上限", "There are too many representations"},
		CountOverflow:         {"票数超出Int范围，请改用votesExact", "The count is over 2147483647: ask for votesExact"},
		LockFailed:            {"尝试获取锁时发生错误", "尝试获取锁时发生错误"}, // of Tiny Vote, in its only words
	}
}

// Texts says everything in every language.
type Texts struct {
	rows  [texts][languages]string
	names map[statusv1.Code]string
}

// NewTexts returns the texts.
func NewTexts() *Texts {
	t := &Texts{rows: table(), names: make(map[statusv1.Code]string, len(statusv1.Code_name))}
	for number, name := range statusv1.Code_name {
		t.names[statusv1.Code(number)] = name[len("CODE_"):]
	}
	return t
}

// Say returns a text.
func (t *Texts) Say(text Text, in Language) string { return t.rows[text][in] }

// Name returns a code as clients of GraphQL know it, INTERNAL for one that is new to this gateway.
func (t *Texts) Name(code statusv1.Code) string {
	if name, known := t.names[code]; known && code != statusv1.Code_CODE_UNSPECIFIED {
		return name
	}
	return t.names[statusv1.Code_CODE_INTERNAL]
}

// ForCode returns what to say of a code where nothing more exact is known. A code that is not in it is an internal error.
func ForCode(code statusv1.Code) Text {
	byCode := [...]Text{
		statusv1.Code_CODE_OK:                  Counted,
		statusv1.Code_CODE_INVALID_ARGUMENT:    Invalid,
		statusv1.Code_CODE_TICKET_INVALID:      TicketStale,
		statusv1.Code_CODE_TICKET_EXPIRED:      TicketStale,
		statusv1.Code_CODE_TICKET_SUPERSEDED:   TicketStale,
		statusv1.Code_CODE_TICKET_EXHAUSTED:    TicketExhausted,
		statusv1.Code_CODE_BALLOT_CLOSED:       BallotClosed,
		statusv1.Code_CODE_BALLOT_NOT_FOUND:    BallotNotFound,
		statusv1.Code_CODE_VOTER_LIMIT:         VoterLimit,
		statusv1.Code_CODE_KEY_REUSED:          KeyReused,
		statusv1.Code_CODE_ALREADY_LIKED:       AlreadyLiked,
		statusv1.Code_CODE_NOT_LIKED:           NotLiked,
		statusv1.Code_CODE_UNAUTHENTICATED:     Unauthenticated,
		statusv1.Code_CODE_PERMISSION_DENIED:   PermissionDenied,
		statusv1.Code_CODE_RATE_LIMITED:        RateLimited,
		statusv1.Code_CODE_OVERLOADED:          Overloaded,
		statusv1.Code_CODE_UNAVAILABLE:         Unavailable,
		statusv1.Code_CODE_OUTCOME_UNKNOWN:     OutcomeUnknown,
		statusv1.Code_CODE_INTERNAL:            Internal,
		statusv1.Code_CODE_VOTE_NOT_FOUND:      VoteNotFound,
		statusv1.Code_CODE_RESULTS_HIDDEN:      ResultsHidden,
		statusv1.Code_CODE_NOT_FOUND:           NotFound,
		statusv1.Code_CODE_ALREADY_EXISTS:      AlreadyExists,
		statusv1.Code_CODE_FAILED_PRECONDITION: FailedPrecondition,
	}
	if code < 0 || int(code) >= len(byCode) {
		return Internal
	}
	return byCode[code]
}

// NameRule returns what to say of a name that the ballot's rules refuse.
func NameRule(ballot string) Text {
	if ballot == "main" {
		return NameFormatMain
	}
	return NameFormat
}
