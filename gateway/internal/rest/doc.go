// Package rest serves users, posts and likes in the way of the like systems that this one replaces: plain paths under /api,
// and answers {code, message, data} with the status 200, in which code 0 is success. It is thin: the same services as GraphQL,
// and no second way of a like.
//
// The API is described by OpenAPI at /api/openapi.json, and for people at /api/doc, which loads nothing from elsewhere.
//
// What changes something takes POST with application/json, which a page of another site cannot send without being asked;
// a cookie that comes from there is refused before (package identity).
package rest
