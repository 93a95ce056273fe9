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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// The status of one request on a connection of its own, and everything that came with it.
    async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// GHSA-w5wv-wvrp-v5m5: endpoints of Kargo asked nobody who he was. These ask nobody either, and
    /// can be read only: health and metrics, with the text that was counted, and nothing besides.
    #[tokio::test]
    async fn cve_2026_24748_the_endpoints_are_read_and_there_are_no_others() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (metrics, health) = (listen().await, listen().await);
        let addresses = [metrics.local_addr().unwrap(), health.local_addr().unwrap()];
        let [metrics_address, health_address] = addresses;
        let ready = Arc::new(AtomicBool::new(false));
        Listeners { metrics, health }.serve(Arc::clone(&ready), || Ok("counted 1\n".to_owned()));
        let open = [
            (metrics_address, "/metrics", 200, "counted 1"),
            (health_address, "/healthz", 200, "ok"),
            (health_address, "/readyz", 503, "not complete yet"),
        ];
        for (address, path, status, text) in open {
            let (found, answer) = ask(address, "GET", path).await;
            assert_eq!(found, status, "{answer}");
            assert!(
                answer.ends_with(&format!("{text}\n")) || answer.ends_with(text),
                "{answer}"
            );
        }
        ready.store(true, Ordering::Release);
        assert_eq!(ask(health_address, "GET", "/readyz").await.0, 200);
        let paths = [
            "/",
            "/metrics",
            "/healthz",
            "/readyz",
            "/api",
            "/debug/pprof",
            "/config",
        ];
        for address in addresses {
            for path in paths {
                for method in METHODS {
                    let is_open = open.iter().any(|one| (one.0, one.1) == (address, path));
                    let expected = match (is_open, method) {
                        (true, "GET") => 200,
                        (true, _) => 405,
                        (false, _) => 404,
                    };
                    let (found, answer) = ask(address, method, path).await;
                    assert_eq!(found, expected, "{method} {path}: {answer}");
                }
            }
        }
    }
}
