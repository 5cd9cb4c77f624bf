package main
import ("context";"fmt";"os";"time";"log/slog";"os/signal";"github.com/openfunction/ofn/internal/kubeapi";"runtime/pprof")
func main(){
 if p:=os.Getenv("CPUPROF");p!=""{f,_:=os.Create(p);pprof.StartCPUProfile(f);defer pprof.StopCPUProfile()}
 lvl:=slog.LevelInfo; if os.Getenv("V")!=""{lvl=slog.LevelDebug}
 log:=slog.New(slog.NewTextHandler(os.Stderr,&slog.HandlerOptions{Level:lvl}))
 kubeapi.RouteKlog(log)
 t:=time.Now()
 s,err:=kubeapi.Start(context.Background(),kubeapi.Options{DataDir:os.Args[1],Log:log})
 if err!=nil{fmt.Println("ERR",err);os.Exit(1)}
 fmt.Println("ready",time.Since(t),s.KubeconfigPath())
 c:=make(chan os.Signal,1);signal.Notify(c,os.Interrupt);
 if os.Getenv("ONCE")==""{<-c}
 t=time.Now()
 fmt.Println("close",s.Close(context.Background()),time.Since(t))
}
