// etcd, kube-apiserver and the endpointslice controller in one process, on
// loopback, for tests; on request the controllers of Deployments and ReplicaSets.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/replicaset"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// once writes a file only if it is not there, so that a restart on the same
// directory keeps token, keys and certificate.
func once(path string, make func() []byte) string {
	if _, err := os.Stat(path); err != nil {
		must(os.WriteFile(path+".tmp", make(), 0o600))
		must(os.Rename(path+".tmp", path))
	}
	return path
}

func saKey() []byte {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.MarshalECPrivateKey(k)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func token() []byte {
	b := make([]byte, 16)
	_, err := rand.Read(b)
	must(err)
	return []byte(hex.EncodeToString(b))
}

func startEtcd(dir, client string, port int) {
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.LogLevel = "error"
	c.UnsafeNoFsync = true
	cu, _ := url.Parse(client)
	// the peer listener is never dialled
	pu, _ := url.Parse(fmt.Sprintf("http://127.0.0.1:%d", port+1))
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*cu}, []url.URL{*cu}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*pu}, []url.URL{*pu}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	must(err)
	<-e.Server.ReadyNotify()
}

func waitReady(ctx context.Context, base, tok string) {
	h := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for ctx.Err() == nil {
		r, _ := http.NewRequest("GET", base+"/readyz", nil)
		r.Header.Set("Authorization", "Bearer "+tok)
		if res, err := h.Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode == 200 {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func startSlices(ctx context.Context, cfg *rest.Config) {
	cs, err := kubernetes.NewForConfig(cfg)
	must(err)
	f := informers.NewSharedInformerFactory(cs, 0)
	c := endpointslice.NewController(ctx, f.Core().V1().Pods(), f.Core().V1().Services(),
		f.Core().V1().Nodes(), f.Discovery().V1().EndpointSlices(), 100, cs, 0)
	f.Start(ctx.Done())
	go c.Run(ctx, 2)
}

func startDeployments(ctx context.Context, cfg *rest.Config) {
	cs, err := kubernetes.NewForConfig(cfg)
	must(err)
	f := informers.NewSharedInformerFactory(cs, 0)
	sets, pods := f.Apps().V1().ReplicaSets(), f.Core().V1().Pods()
	d, err := deployment.NewDeploymentController(ctx, f.Apps().V1().Deployments(), sets, pods, cs)
	must(err)
	r := replicaset.NewReplicaSetController(ctx, sets, pods, cs, replicaset.BurstReplicas)
	f.Start(ctx.Done())
	go d.Run(ctx, 2)
	go r.Run(ctx, 2)
}

func main() {
	start := time.Now()
	dir := flag.String("dir", "testkube-data", "state: etcd data, certificate, token, kubeconfig")
	port := flag.Int("port", 6443, "https port on 127.0.0.1")
	etcdPort := flag.Int("etcd-port", 0, "etcd client port (default port+1; peer is one above)")
	roles := flag.String("roles", "etcd,api,slices", "what runs in this process: deployments, too, where it is named")
	flag.Parse() // what follows -- goes to kube-apiserver as it is
	on := func(r string) bool { return strings.Contains(","+*roles+",", ","+r+",") }
	if *etcdPort == 0 {
		*etcdPort = *port + 1
	}
	must(os.MkdirAll(*dir, 0o700))
	d, err := filepath.Abs(*dir)
	must(err)
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", *etcdPort)
	base := fmt.Sprintf("https://127.0.0.1:%d", *port)
	// Stop at once: a graceful stop waits 60 s for open watches.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() { <-ctx.Done(); os.Exit(0) }()

	if on("etcd") {
		startEtcd(d, etcdURL, *etcdPort)
		log.Printf("etcd ready after %v at %s", time.Since(start).Round(time.Millisecond), etcdURL)
	}
	if !on("api") && !on("slices") {
		select {}
	}
	tokFile := once(filepath.Join(d, "token"), token)
	raw, err := os.ReadFile(tokFile)
	must(err)
	tok := string(bytes.TrimSpace(raw))
	crt := filepath.Join(d, "apiserver.crt")
	kubeconfig := filepath.Join(d, "kubeconfig")

	after := func() {
		waitReady(ctx, base, tok)
		must(os.WriteFile(kubeconfig, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: t
clusters: [{name: t, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: t, user: {token: %q}}]
contexts: [{name: t, context: {cluster: t, user: t}}]
`, base, crt, tok)), 0o600))
		log.Printf("READY after %v: %s", time.Since(start).Round(time.Millisecond), kubeconfig)
		cfg := &rest.Config{Host: base, BearerToken: tok, QPS: -1,
			TLSClientConfig: rest.TLSClientConfig{CAFile: crt}}
		if on("slices") {
			startSlices(ctx, cfg)
		}
		if on("deployments") {
			startDeployments(ctx, cfg)
		}
	}
	if !on("api") {
		after()
		select {}
	}
	key := once(filepath.Join(d, "sa.key"), saKey)
	users := filepath.Join(d, "tokens.csv")
	must(os.WriteFile(users, []byte(tok+`,admin,admin,"system:masters"`+"\n"), 0o600))
	args := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", *port),
		"--cert-dir=" + d,
		"--token-auth-file=" + users,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + key, "--service-account-key-file=" + key,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--endpoint-reconciler-type=none",
		// no service account controller and no nodes here
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,Priority",
		"--v=0",
	}
	cmd := app.NewAPIServerCommand()
	cmd.SetArgs(append(args, flag.Args()...))
	go after()
	must(cmd.Execute())
}
