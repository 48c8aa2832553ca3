module github.com/littlevote/littlevote/services/persister

go 1.26.0
