//! The inside of the proxy: from a connection to a reply.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::hold::Moment;
use super::{Exchange, Outage, Shared, lock};

/// Takes connections until the proxy is dropped.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let others close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if *lock(&shared.outage) == Some(Outage::Disconnect) {
            drop(stream);
            continue;
        }
        tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
    }
}

/// Serves one connection until either side closes it or it is cut.
async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let _ = stream.set_nodelay(true);
    let serving = async {
        match tls {
            None => serve_http(stream, shared).await,
            Some(tls) => {
                // A failed handshake is the client's to report.
                if let Ok(stream) = tls.accept(stream).await {
                    serve_http(stream, shared).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        _ = cuts.changed() => {}
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(shared, request).await) }
    });
    // Errors here are disconnects, which both sides see for themselves.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Answers one request: records, holds, passes on.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<reqwest::Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = read(body).await else {
        return refusal(StatusCode::BAD_REQUEST);
    };
    let header = |name| {
        let value = head.headers.get(name).map(http::HeaderValue::as_bytes);
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    let exchange = Exchange {
        method: head.method.clone(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        user_agent: header(header::USER_AGENT),
        authorization: header(header::AUTHORIZATION),
        body,
        arrived: Instant::now(),
        status: None,
    };
    if let Some(Outage::Status(status)) = *lock(&shared.outage) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        lock(&shared.exchanges).push(Exchange {
            status: Some(status.as_u16()),
            ..exchange
        });
        return refusal(status);
    }
    if let Some(status) = refused(&shared, &exchange) {
        lock(&shared.exchanges).push(Exchange {
            status: Some(status.as_u16()),
            ..exchange
        });
        let mut reply = refusal(status);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"registry\"");
            reply
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        return reply;
    }
    // In a task of its own: a request once sent arrives, whatever happens to its sender.
    let passing = tokio::spawn(pass(shared, exchange, head.headers));
    passing
        .await
        .unwrap_or_else(|_| refusal(StatusCode::BAD_GATEWAY))
}

/// The status of who does not say what is required, or of what a rule refuses.
fn refused(shared: &Shared, exchange: &Exchange) -> Option<StatusCode> {
    let required = lock(&shared.required).clone();
    if required.is_some_and(|required| exchange.authorization != required) {
        return Some(StatusCode::UNAUTHORIZED);
    }
    let status = lock(&shared.refusals).of(exchange)?;
    Some(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
}

/// Sends the request to the server and brings back the reply, each after a hold if one is set.
async fn pass(
    shared: Arc<Shared>,
    mut exchange: Exchange,
    mut headers: HeaderMap,
) -> Response<reqwest::Body> {
    let index = {
        let mut exchanges = lock(&shared.exchanges);
        exchanges.push(exchange.clone());
        exchanges.len() - 1
    };
    let held = lock(&shared.holds).take(Moment::Request, &exchange);
    if let Some(held) = held {
        held.wait(exchange.clone()).await;
    }
    remove_connection_headers(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    let Some(upstream) = lock(&shared.upstream).clone() else {
        return refusal(StatusCode::BAD_GATEWAY);
    };
    let outcome = shared
        .client
        .request(
            exchange.method.clone(),
            format!("{upstream}{}", exchange.path),
        )
        .headers(headers)
        .body(exchange.body.clone())
        .send()
        .await;
    let Ok(reply) = outcome else {
        return refusal(StatusCode::BAD_GATEWAY);
    };
    let mut reply = Response::<reqwest::Body>::from(reply);
    remove_connection_headers(reply.headers_mut());
    exchange.status = Some(reply.status().as_u16());
    if let Some(recorded) = lock(&shared.exchanges).get_mut(index) {
        // After a `clear` the index may mean another exchange.
        if recorded.arrived == exchange.arrived && recorded.path == exchange.path {
            recorded.status = exchange.status;
        }
    }
    let held = lock(&shared.holds).take(Moment::Reply, &exchange);
    if let Some(held) = held {
        held.wait(exchange).await;
    }
    reply
}

/// Removes what is about one connection and must not be passed to another.
fn remove_connection_headers(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
    ] {
        headers.remove(name);
    }
}

/// Reads a request body to its end.
async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// An empty reply of the proxy itself.
fn refusal(status: StatusCode) -> Response<reqwest::Body> {
    let mut response = Response::new(reqwest::Body::default());
    *response.status_mut() = status;
    response
}
