module github.com/littlevote/littlevote/services/query-service

go 1.26.0
