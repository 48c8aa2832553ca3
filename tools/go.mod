module github.com/littlevote/littlevote/tools

go 1.26.0
