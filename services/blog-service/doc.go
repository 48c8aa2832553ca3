// Package blogservice is the service for people, what they write, and what they like.
//
//	accounts   users with argon2id passwords in Postgres, sessions in Redis that every instance knows
//	posts      in Postgres, read through a cache in three levels (package cache says what each may serve)
//	likes      votes on a ballot of the tenant, cast and read through the vote- and the query-service
//
// What decides is Postgres for users and posts, and Redis for sessions and limits. An instance holds nothing that another
// one or a restart would miss.
//
//	Redis away      no login, no session and nothing that is limited; posts and users are read from Postgres
//	Postgres away   sessions go on; posts and users that Redis has are served, and nothing is written
package blogservice
