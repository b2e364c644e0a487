// Command krakend serves a configuration file of KrakenD with KrakenD's own engine (lura) and token validator
// (krakend-jose), combined as KrakenD combines them. The program that KrakenD distributes is in no package registry;
// these modules, which do its work, are Go modules.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	krakendjose "github.com/krakend/krakend-jose/v2"
	ginjose "github.com/krakend/krakend-jose/v2/gin"
	"github.com/luraproject/lura/v2/config"
	"github.com/luraproject/lura/v2/logging"
	"github.com/luraproject/lura/v2/proxy"
	router "github.com/luraproject/lura/v2/router/gin"
	"github.com/luraproject/lura/v2/transport/http/server"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: krakend FILE")
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(file string) error {
	// The names in configuration files, and those that the modules know.
	config.ExtraConfigAlias = map[string]string{
		"auth/validator": krakendjose.ValidatorNamespace,
		"router":         router.Namespace,
	}
	service, err := config.NewParser().Parse(file)
	if err != nil {
		return err
	}
	service.Normalize()
	// A benchmark sets CRITICAL, as operators do where speed counts.
	level := os.Getenv("KRAKEND_LOG_LEVEL")
	if level == "" {
		level = "DEBUG"
	}
	logger, err := logging.NewLogger(level, os.Stderr, "[KRAKEND]")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	engine := router.NewEngine(service, router.EngineOptions{Logger: logger, Writer: os.Stderr})
	handlers := ginjose.HandlerFactory(router.CustomErrorEndpointHandler(logger, server.DefaultToHTTPError), logger, nil)
	router.NewFactory(router.Config{
		Engine:         engine,
		HandlerFactory: handlers,
		ProxyFactory:   proxy.DefaultFactory(logger),
		Logger:         logger,
		RunServer:      server.RunServer,
	}).NewWithContext(ctx).Run(service)
	return nil
}
