module github.com/littlevote/littlevote/services/ticket-service

go 1.26.0
