module example.com/logalerts

go 1.26

require github.com/OpenFunction/functions-framework-go v0.5.0
