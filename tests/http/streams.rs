//! Answers that take their time: each part reaches the client when it comes.

use poem::endpoint::make;
use poem::http::HeaderName;
use poem::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use poem::{Body, Endpoint, EndpointExt as _, Response};
use steadfast::http::Idempotent;
use steadfast::idempotency::OnLapse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use crate::{call, idempotency, is_replay, keyed, problem, store, text};

/// A handler whose body is what is written to what comes out of the channel.
fn streaming(
    header: Option<(HeaderName, &'static str)>,
) -> (impl Endpoint + use<>, mpsc::UnboundedReceiver<DuplexStream>) {
    let (_faulty, store, _clock) = store();
    let (send, receive) = mpsc::unbounded_channel();
    let handler = make(move |_request| {
        let (body, writer) = tokio::io::duplex(1_000);
        send.send(writer).unwrap();
        let header = header.clone();
        async move {
            let response = Response::builder();
            let response = header
                .into_iter()
                .fold(response, |response, (name, value)| response.header(name, value));
            response.body(Body::from_async_read(body))
        }
    });
    (handler.with(Idempotent::new(idempotency(&store, OnLapse::Recover))), receive)
}

#[tokio::test]
async fn a_stream_reaches_the_client_part_by_part_and_is_not_made_again() {
    for header in [Some((CONTENT_TYPE, "text/event-stream; charset=utf-8")), None] {
        let (app, mut writers) = streaming(header);
        // The answer is there before the first part of it is.
        let response = call(&app, keyed("k").finish()).await;
        assert_eq!(response.status(), 200);
        let mut writer = writers.recv().await.unwrap();
        let mut reader = response.into_body().into_async_read();
        for part in ["data: 1\n\n", "data: 2\n\n"] {
            writer.write_all(part.as_bytes()).await.unwrap();
            let mut read = vec![0; part.len()];
            reader.read_exact(&mut read).await.unwrap();
            assert_eq!(read, part.as_bytes());
            // Meanwhile a retry is told that it will not get it.
            let retry = call(&app, keyed("k").finish()).await;
            assert_eq!((retry.status().as_u16(), is_replay(&retry)), (410, true));
            let problem = problem(retry).await;
            assert_eq!(problem["type"], "urn:steadfast:problem:result-not-retained");
        }
        drop(writer);
        assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
        assert!(writers.try_recv().is_err(), "it ran once");
    }
}

#[tokio::test]
async fn a_slow_body_of_known_length_is_kept() {
    let (app, mut writers) = streaming(Some((CONTENT_LENGTH, "4")));
    let slow = async {
        let mut writer = writers.recv().await.unwrap();
        for _part in 0..2 {
            tokio::task::yield_now().await;
            writer.write_all(b"ok").await.unwrap();
        }
    };
    let (response, ()) = tokio::join!(call(&app, keyed("k").finish()), slow);
    assert_eq!(text(response).await, "okok");
    let retry = call(&app, keyed("k").finish()).await;
    assert!(is_replay(&retry));
    assert_eq!(text(retry).await, "okok");
}
