module github.com/littlevote/littlevote/services/vote-service

go 1.26.0
