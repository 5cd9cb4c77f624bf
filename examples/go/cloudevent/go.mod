module example.com/cloudevent

go 1.26

require github.com/cloudevents/sdk-go/v2 v2.16.2
