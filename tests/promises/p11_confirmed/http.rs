use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use poem::endpoint::make;
use poem::http::{Method, StatusCode};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use steadfast::Idempotency;
use steadfast::http::{Idempotent, Problem};

use super::{World, where_writes_wait};
use crate::world::alice;

where_writes_wait!(a_client_is_not_told_of_success_that_is_not_confirmed);

/// A request of Alice's; errors become responses, as in a service.
async fn pay(app: &impl Endpoint) -> (StatusCode, String) {
    let request = Request::builder().method(Method::POST).uri_str("/pay");
    let request = request.header("idempotency-key", "pay-1").extension(alice()).finish();
    let response = match app.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => Problem::from_poem(error),
    };
    (response.status(), response.into_body().into_string().await.unwrap())
}

async fn a_client_is_not_told_of_success_that_is_not_confirmed(world: World) {
    let (world, runs) = (Arc::new(world), Arc::new(AtomicU32::new(0)));
    let payments = Idempotency::builder(&world.waiting).build().unwrap();
    let (here, counted) = (Arc::clone(&world), Arc::clone(&runs));
    let app = make(move |_request| {
        counted.fetch_add(1, Ordering::SeqCst);
        here.lose();
        async { Response::builder().body("paid") }
    });
    let app = app.with(Idempotent::new(payments));
    assert_eq!(pay(&app).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(pay(&app).await.0, StatusCode::SERVICE_UNAVAILABLE, "nor is a retry");
    world.find_again();
    assert_eq!(pay(&app).await, (StatusCode::OK, "paid".to_owned()), "once it is confirmed");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
