module github.com/OpenFunction/functions-framework-go

go 1.24
