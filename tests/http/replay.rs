//! What a retry gets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poem::endpoint::make;
use poem::http::header::{self, HeaderName, HeaderValue};
use poem::{Body, EndpointExt, Response};
use steadfast::http::Idempotent;
use steadfast::idempotency::OnLapse;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use crate::{app, call, idempotency, is_replay, keyed, post, problem, store, text};

#[tokio::test]
async fn a_final_answer_is_replayed_without_cookies() {
    let (_faulty, store, clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = app(&store, OnLapse::Refuse, &runs);
    for (count, status) in [200, 201, 204, 303, 402, 404, 410].into_iter().enumerate() {
        let first = call(&app, post(&status.to_string())).await;
        assert_eq!(first.status(), status);
        assert!(first.headers().contains_key(header::SET_COOKIE));
        let body = first.into_body().into_string().await.unwrap();
        clock.advance(Duration::from_secs(3_600));
        let replay = call(&app, post(&status.to_string())).await;
        assert_eq!(replay.status(), status);
        let header = |name| replay.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("idempotent-replayed"), Some("true"));
        assert_eq!(header("location"), Some("/made"));
        assert_eq!((header("set-cookie"), header("x-other")), (None, None));
        assert_eq!(replay.into_body().into_string().await.unwrap(), body);
        assert_eq!(runs.load(Ordering::SeqCst) as usize, count + 1);
    }
}

/// Replays of cookies and of credentials hand out a session.
#[tokio::test]
async fn a_replay_carries_the_headers_of_the_route_and_never_a_credential() {
    let (_faulty, store, _clock) = store();
    let once = Idempotent::new(idempotency(&store, OnLapse::Refuse));
    for never in ["set-cookie", "authorization", "www-authenticate", "date", "connection", "te"] {
        let refused = once.clone().replay_header(HeaderName::from_static(never));
        assert_eq!(refused.unwrap_err().kind(), steadfast::ErrorKind::Invalid, "{never}");
    }
    let once = once.replay_header(HeaderName::from_static("x-order")).unwrap();
    let once = once.replay_header(HeaderName::from_static("x-hop")).unwrap();
    // It is among them already.
    let once = once.replay_header(header::RETRY_AFTER).unwrap();
    let app = make(|_request| async {
        Response::builder()
            .header("x-order", "1")
            .header("x-order", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("x-hop", "1")
            .header(header::CONNECTION, "close, X-Hop")
            .header(header::RETRY_AFTER, "7")
            .header(header::SET_COOKIE, "secret=1")
            .header(header::AUTHORIZATION, "secret")
            .header(header::DATE, "Tue, 14 Nov 2023 22:13:20 GMT")
            .finish()
    });
    let app = app.with(once);
    call(&app, keyed("k").finish()).await;
    let replay = call(&app, keyed("k").finish()).await;
    let orders: Vec<_> = replay.headers().get_all("x-order").iter().collect();
    assert_eq!(orders, ["1".as_bytes(), b"caf\xe9"]);
    assert!(replay.headers().get_all(header::RETRY_AFTER).iter().eq(["7"]));
    for gone in ["x-hop", "connection", "set-cookie", "authorization", "date"] {
        assert!(!replay.headers().contains_key(gone), "{gone}");
    }
}

const LIMIT: usize = 1_000;

/// A handler whose body is this, once as bytes and once as a stream.
fn large(
    store: &steadfast::Store,
    body: Vec<u8>,
    stream: bool,
    runs: &Arc<AtomicU32>,
) -> impl poem::Endpoint + use<> {
    let once = Idempotent::new(idempotency(store, OnLapse::Recover)).response_limit(LIMIT);
    let runs = runs.clone();
    let handler = make(move |_request| {
        runs.fetch_add(1, Ordering::SeqCst);
        let body = body.clone();
        async move {
            let body = if stream {
                Body::from_async_read(io::Cursor::new(body))
            } else {
                Body::from(body)
            };
            let response = Response::builder().header(header::LOCATION, "/made/1");
            response.header(header::ETAG, "\"1\"").body(body)
        }
    });
    handler.with(once)
}

/// It was delivered once, and is not made again.
#[tokio::test]
async fn an_answer_over_the_limit_is_delivered_once_and_then_named_by_its_digest() {
    for (stream, len) in [(false, LIMIT + 1), (false, 100_000), (true, LIMIT + 1), (true, 100_000)]
    {
        let (_faulty, store, _clock) = store();
        let (runs, body) = (Arc::new(AtomicU32::new(0)), vec![7; len]);
        let app = large(&store, body.clone(), stream, &runs);
        let first = call(&app, keyed("k").finish()).await;
        assert_eq!(first.status(), 200);
        // Before the client has it all, the digest is not known.
        let early = call(&app, keyed("k").finish()).await;
        assert_eq!((early.status().as_u16(), is_replay(&early)), (410, true));
        assert_eq!(first.into_body().into_vec().await.unwrap(), body);

        let started = Instant::now();
        let digest = loop {
            assert!(started.elapsed() < Duration::from_secs(30), "the digest is never kept");
            let retry = call(&app, keyed("k").finish()).await;
            assert_eq!((retry.status().as_u16(), is_replay(&retry)), (410, true));
            assert_eq!(retry.headers()[header::LOCATION], "/made/1");
            assert!(!retry.headers().contains_key(header::ETAG));
            let problem = problem(retry).await;
            assert_eq!(problem["type"], "urn:steadfast:problem:result-not-retained");
            if let Some(digest) = problem["digest"].as_str() {
                break digest.to_owned();
            }
        };
        assert_eq!(digest, sha256(&body));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

fn sha256(body: &[u8]) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(body));
    format!("sha-256=:{hash}:")
}

#[tokio::test]
async fn an_answer_at_the_limit_is_kept_whether_it_is_a_stream_or_not() {
    for stream in [false, true] {
        let (_faulty, store, _clock) = store();
        let (runs, body) = (Arc::new(AtomicU32::new(0)), vec![7; LIMIT]);
        let app = large(&store, body.clone(), stream, &runs);
        for replayed in [false, true] {
            let response = call(&app, keyed("k").finish()).await;
            assert_eq!((response.status().as_u16(), is_replay(&response)), (200, replayed));
            assert_eq!(response.into_body().into_vec().await.unwrap(), body);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

/// A client that leaves in the middle, and a body that breaks off: told so, and not run again.
#[tokio::test]
async fn a_body_that_does_not_end_leaves_no_digest_and_no_second_run() {
    let (_faulty, store, _clock) = store();
    let runs = Arc::new(AtomicU32::new(0));
    let app = large(&store, vec![7; 100_000], true, &runs);
    let first = call(&app, keyed("k").finish()).await;
    let mut start = [0; 10];
    first.into_body().into_async_read().read_exact(&mut start).await.unwrap();
    let retry = call(&app, keyed("k").finish()).await;
    assert_eq!((retry.status().as_u16(), runs.load(Ordering::SeqCst)), (410, 1));

    let broken = make(|_request| async {
        Response::builder().body(Body::from_async_read(b"start".chain(Broken)))
    });
    let app = broken.with(Idempotent::new(idempotency(&store, OnLapse::Refuse)));
    let first = call(&app, keyed("broken").finish()).await;
    assert_eq!(first.status(), 500);
    let retry = call(&app, keyed("broken").finish()).await;
    assert_eq!(retry.status(), 409);
    assert_eq!(problem(retry).await["outcome"], "unknown");
}

/// A disk that is gone.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("the disk is gone")))
    }
}

/// At rest it is encrypted like every other record.
#[cfg(feature = "encrypt")]
#[tokio::test]
async fn a_stored_answer_cannot_be_read_in_the_store() {
    use steadfast::backend::{Backend, Namespace, ScanRequest};
    use steadfast::memory::{MemoryBackend, MemoryConfig};

    let backend = Arc::new(MemoryBackend::new(MemoryConfig::default()));
    let keys = steadfast::store::SealingKeys::new(1, &[7; 32]);
    let sealed = steadfast::Store::builder(backend.clone()).sealed(keys).build().unwrap();
    let clear = steadfast::Store::builder(backend.clone()).namespace("clear").build().unwrap();
    for (store, is_clear) in [(sealed, false), (clear, true)] {
        let app = make(|_request| async { "canary-7f3a" });
        let app = app.with(Idempotent::new(idempotency(&store, OnLapse::Refuse)));
        call(&app, keyed("k").finish()).await;
        assert_eq!(text(call(&app, keyed("k").finish()).await).await, "canary-7f3a");
        let namespace = Namespace::new(if is_clear { "clear" } else { "app" }).unwrap();
        let limit = std::num::NonZeroUsize::new(10).unwrap();
        let page = backend.scan(ScanRequest { namespace, after: None, limit }).await.unwrap();
        let value = backend.get(&page.keys[0]).await.unwrap().unwrap().value;
        let readable = value.windows(11).any(|bytes| bytes == b"canary-7f3a");
        assert_eq!((page.keys.len(), readable), (1, is_clear));
    }
}
