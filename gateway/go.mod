module github.com/littlevote/littlevote/gateway

go 1.26.0
