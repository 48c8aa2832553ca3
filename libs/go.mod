module github.com/littlevote/littlevote/libs

go 1.26.0
