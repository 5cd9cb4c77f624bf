module example.com/openfunction

go 1.26

require github.com/OpenFunction/functions-framework-go v0.5.0
