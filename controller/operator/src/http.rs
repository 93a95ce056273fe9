//! Health and metrics, each on a listener of its own. Nothing here changes anything or is secret.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::args::Args;

/// Bound before anything else happens, so that a port in use is found out at once.
pub(crate) struct Listeners {
    metrics: TcpListener,
    health: TcpListener,
}

impl Listeners {
    /// Binds both.
    pub(crate) async fn bind(args: &Args) -> anyhow::Result<Self> {
        Ok(Self {
            metrics: bind(args.metrics_address, "--metrics-address").await?,
            health: bind(args.health_address, "--health-address").await?,
        })
    }

    /// Serves until the process ends. `render` makes the metrics' text.
    pub(crate) fn serve(
        self,
        ready: Arc<AtomicBool>,
        render: impl Fn() -> Result<String, std::fmt::Error> + Send + Sync + 'static,
    ) {
        let health = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readiness))
            .with_state(ready);
        let render: Arc<Render> = Arc::new(render);
        let metrics = Router::new()
            .route("/metrics", get(exposition))
            .with_state(render);
        for (listener, router) in [(self.health, health), (self.metrics, metrics)] {
            tokio::spawn(async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::error!(%error, "failed to serve");
                }
            });
        }
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("failed to listen on {address}; choose another address and port with {flag}")
    })
}

async fn readiness(State(ready): State<Arc<AtomicBool>>) -> impl IntoResponse {
    if ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the watch caches are not complete yet",
        )
    }
}

type Render = dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync;

/// The media type of the text that prometheus-client writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn exposition(State(render): State<Arc<Render>>) -> impl IntoResponse {
    render().map_or_else(
        |_| {
            let text = "failed to write the metrics".to_owned();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(CONTENT_TYPE, "text/plain")],
                text,
            )
        },
        |text| (StatusCode::OK, [(CONTENT_TYPE, OPENMETRICS)], text),
    )
}
