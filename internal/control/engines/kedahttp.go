package engines

// KEDAHTTP is KEDA's HTTP add-on, by the kind that all its versions serve.
func KEDAHTTP() Engine {
	return Engine{Name: "KEDA's HTTP add-on", Kinds: []Kind{kind("http.keda.sh", "v1alpha1", "HTTPScaledObject", "httpscaledobjects")}, Install: command("keda-http")}
}

// InterceptorRoutes are what the add-on prefers since version 0.14.
func InterceptorRoutes() Engine {
	return Engine{Name: "KEDA's HTTP add-on 0.14", Kinds: []Kind{kind("http.keda.sh", "v1beta1", "InterceptorRoute", "interceptorroutes")}, Install: command("keda-http")}
}
