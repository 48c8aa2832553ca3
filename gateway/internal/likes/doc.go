// Package likes brings likes, posts and accounts from the blog-service to GraphQL and REST. Who calls, and for which tenant,
// comes from the context alone, so that no argument can say it.
//
// Likes and unlikes that wait at the same moment go in one call. Invariants: every change gets one verdict, also when its
// caller has long gone away; a refusal (outcome NONE) is said only where the blog-service said it, or where it is certain
// that the change never left this process.
package likes
