//! Each route, its answers and its errors.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, until, while_told};
use crate::server::{Home, on_every_store};

on_every_store!(
    anybody_sees_page_health_and_metrics,
    a_login_gives_token_and_cookie,
    nothing_works_without_a_live_session,
    a_cart_adds_up_and_has_an_etag,
    a_browser_needs_the_cookie_only_and_no_other_site_can_use_it,
    a_checkout_of_another_cart_than_was_seen_is_refused_and_keeps_no_key,
    a_mutation_needs_a_good_key,
    a_key_is_for_one_request_of_one_user,
    a_refused_request_frees_its_key,
    bad_input_is_explained,
    logging_out_ends_one_session_or_all,
    logging_out_by_token_removes_the_cookie_of_that_session_only,
    a_short_session_ends,
    a_forgotten_key_runs_again,
);

async fn anybody_sees_page_health_and_metrics(home: Home) {
    let server = home.start();
    let page = server.client.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "external assets");
    assert_eq!(server.client.get("/livez").await.status, 200);

    let health = server.client.get("/health").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!((&health["status"], &health["breaker"]), (&json!("ok"), &json!("closed")));
    assert!(health["backend"].is_string() && health["latency_ms"].is_number(), "{health}");
    assert!(health["sync"].is_null() && health["moving"].is_null(), "{health}");

    let user = server.client.log_in("alice").await;
    user.get("/cart").await;
    let metrics = server.client.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let line = r#"http_requests_total{method="GET",route="/cart",status="200"} 1"#;
    assert!(metrics.text.contains(line), "{}", metrics.text);
    assert!(!metrics.text.contains(&user.token[..20]));
}

async fn a_login_gives_token_and_cookie(home: Home) {
    let server = home.start();
    let login = server.client.request(Method::POST, "/login").json(&json!({ "user": "a.B_1@x-y" }));
    let login = Client::send(login.header("user-agent", "a laptop")).await;
    assert_eq!(login.status, 200);
    let cookie = login.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite"), "{cookie}");

    let user = server.client.log_in("a.B_1@x-y").await;
    let session = user.get("/session").await.json();
    assert_eq!(session["user"], "a.B_1@x-y");
    assert!((3_200..=3_600).contains(&session["idle_seconds"].as_u64().unwrap()), "{session}");
    // A busy machine may need some of it to get here.
    assert!((86_000..=86_400).contains(&session["absolute_seconds"].as_u64().unwrap()));
    assert_eq!(session["freshness"], "fresh");
    assert!(session["version"].is_u64());

    let devices = user.get("/sessions").await.json()["sessions"].clone();
    let devices = devices.as_array().unwrap();
    assert_eq!(devices.len(), 2);
    assert_eq!((&devices[0]["label"], &devices[0]["current"]), (&json!("a laptop"), &json!(false)));
    assert_eq!(devices[1]["current"], true);
    let id = cookie.split(['=', ';']).nth(1).unwrap();
    assert!(!json!(devices).to_string().contains(&id[..12]), "a raw id is shown");
}

async fn nothing_works_without_a_live_session(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let (signed, mac) = user.token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", mac.chars().rev().collect::<String>());
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.";
    for (method, path) in [
        (Method::GET, "/session"),
        (Method::GET, "/sessions"),
        (Method::GET, "/cart"),
        (Method::GET, "/orders"),
        (Method::POST, "/cart/items"),
        (Method::POST, "/checkout"),
        (Method::POST, "/logout"),
        (Method::POST, "/logout/everywhere"),
    ] {
        for authorization in ["", "Basic YTpi", "Bearer", "Bearer x", none, &forged] {
            let request = server.client.request(method.clone(), path);
            let request = request.header("idempotency-key", "k");
            let request = match authorization {
                "" => request,
                token if token.contains('.') => {
                    request.header("authorization", format!("Bearer {token}"))
                }
                scheme => request.header("authorization", scheme),
            };
            let answer = Client::send(request).await;
            answer.problem(401);
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
}

async fn a_cart_adds_up_and_has_an_etag(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let empty = user.get("/cart").await;
    assert_eq!(empty.json()["items"], json!([]));

    user.add("a", 1, "k1").await;
    user.add("b", 99, "k2").await;
    let added = user.add("a", 2, "k3").await;
    assert_eq!(added.status, 201);
    let cart = user.get("/cart").await;
    assert_eq!(cart.json(), added.json());
    let items = json!([{ "sku": "a", "qty": 3 }, { "sku": "b", "qty": 99 }]);
    assert_eq!(cart.json()["items"], items);

    let etag = cart.header("etag").unwrap();
    assert_eq!(etag, format!("\"{}\"", cart.json()["version"]));
    let compressed = format!("\"{}-gzip\"", cart.json()["version"]);
    for (known, status) in
        [(etag, 304), (&format!("\"0\", W/{etag}"), 304), (&compressed, 304), ("\"0\"", 200)]
    {
        let request = user.request(Method::GET, "/cart").header("if-none-match", known);
        let again = Client::send(request).await;
        assert_eq!((again.status, again.header("etag")), (status, Some(etag)), "{known}");
        assert_eq!(again.text.is_empty(), status == 304);
        assert_eq!(again.header("cache-control"), cart.header("cache-control"), "{known}");
    }
    user.add("a", 1, "k4").await;
    assert_ne!(user.get("/cart").await.header("etag"), Some(etag));
}

async fn a_browser_needs_the_cookie_only_and_no_other_site_can_use_it(home: Home) {
    let server = home.start();
    let cookie = cookie(&server.client.ask_to_log_in("alice").await);
    let request = |method, path, key: &str| {
        let request = server.client.request(method, path).header("cookie", &cookie);
        request.header("idempotency-key", key.to_owned())
    };
    let item = json!({ "sku": "a", "qty": 1 });
    for (name, foreign) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let add = request(Method::POST, "/cart/items", "add").json(&item);
        Client::send(add.header(name, foreign)).await.problem(403);
        let cart = request(Method::GET, "/cart", "").header(name, foreign);
        assert_eq!(Client::send(cart).await.status, 200, "a read changes nothing");
    }
    let add = request(Method::POST, "/cart/items", "add").json(&item);
    let add = Client::send(add.header("sec-fetch-site", "same-origin")).await;
    assert_eq!((add.status, &add.json()["items"]), (201, &json!([item])));
    assert_eq!(Client::send(request(Method::GET, "/session", "")).await.json()["user"], "alice");
    for replayed in [false, true] {
        let bye = Client::send(request(Method::POST, "/logout", "bye")).await;
        assert_eq!((bye.status, bye.is_replay()), (204, replayed), "{bye:?}");
        assert!(bye.header("set-cookie").unwrap().starts_with("sid=; Max-Age=0"), "{bye:?}");
    }
    let gone = Client::send(request(Method::GET, "/cart", "")).await;
    gone.problem(401);
    assert!(gone.header("www-authenticate").unwrap().starts_with("Bearer"));
}

async fn a_checkout_of_another_cart_than_was_seen_is_refused_and_keeps_no_key(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    let check_out = async |tag: &str, key: &str, path: &str| {
        let request = user.request(Method::POST, path).header("idempotency-key", key.to_owned());
        Client::send(request.header("if-match", tag.to_owned())).await
    };
    check_out("\"1\"", "k", "/checkout").await.problem(412);
    assert_eq!(user.cart().await, json!([]));
    let seen = user.add("a", 1, "a1").await.header("etag").unwrap().to_owned();
    user.add("a", 1, "a2").await;
    for path in ["/checkout", "/checkout?delay_ms=1"] {
        check_out(&seen, "k", path).await.problem(412);
    }
    assert!(user.orders().await.is_empty());
    let seen = user.get("/cart").await.header("etag").unwrap().to_owned();
    // Where a proxy compressed the cart.
    let seen = seen.trim_end_matches('"').to_owned() + "-gzip\"";
    for replayed in [false, true] {
        // The replay is found before the condition is looked at: the cart is another one now.
        let order = check_out(&seen, "k", "/checkout").await;
        assert_eq!((order.status, order.is_replay()), (201, replayed), "{order:?}");
        assert_eq!(order.json()["total_qty"], 2);
    }
    check_out(&seen, "new", "/checkout").await.problem(412);
    assert_eq!(user.orders().await.len(), 1);
}

async fn a_mutation_needs_a_good_key(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    for path in ["/cart/items", "/checkout", "/logout", "/logout/everywhere"] {
        let request = || user.request(Method::POST, path).json(&json!({ "sku": "a", "qty": 1 }));
        Client::send(request()).await.problem(400);
        for bad in ["", "a b", "\"a", &"k".repeat(256)] {
            Client::send(request().header("idempotency-key", bad)).await.problem(400);
        }
        let two = request().header("idempotency-key", "a").header("x-idempotency-key", "b");
        Client::send(two).await.problem(400);
    }
    assert_eq!(user.cart().await, json!([]));
    for (name, key) in [("idempotency-key", "k"), ("x-idempotency-key", "\"k\"")] {
        let request = user.request(Method::POST, "/cart/items").header(name, key);
        let answer = Client::send(request.json(&json!({ "sku": "a", "qty": 1 }))).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.is_replay(), name == "x-idempotency-key");
    }
    assert_eq!(user.cart().await, json!([{ "sku": "a", "qty": 1 }]));
}

async fn a_key_is_for_one_request_of_one_user(home: Home) {
    let server = home.start();
    let (alice, bob) = (server.client.log_in("alice").await, server.client.log_in("bob").await);
    let first = alice.add("a", 1, "k").await;
    assert!(!first.is_replay());
    let request = alice.request(Method::POST, "/cart/items").header("idempotency-key", "k");
    let again = Client::send(request.body(" {\"qty\":1, \"sku\":\"a\"}")).await;
    assert!(again.is_replay());
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("etag"), first.header("etag"));

    alice.add("a", 2, "k").await.problem(422);
    let query = alice.request(Method::POST, "/cart/items?x=1").header("idempotency-key", "k");
    Client::send(query.json(&json!({ "sku": "a", "qty": 1 }))).await.problem(422);
    assert_eq!(alice.cart().await, json!([{ "sku": "a", "qty": 1 }]));

    assert!(!bob.add("a", 2, "k").await.is_replay(), "another user");
    assert_eq!(alice.post("/checkout", "k").await.status, 201, "another route");
    // Another session of the same user is the same user.
    assert!(server.client.log_in("alice").await.add("a", 1, "k").await.is_replay());
}

async fn a_refused_request_frees_its_key(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    user.add("a", 0, "k").await.problem(400);
    let request = user.request(Method::POST, "/cart/items").header("idempotency-key", "k");
    let request = request.header("content-type", "application/json");
    Client::send(request.body("{")).await.problem(400);
    assert_eq!(user.add("a", 1, "k").await.status, 201);
}

async fn bad_input_is_explained(home: Home) {
    let server = home.start();
    let user = server.client.log_in("alice").await;
    for name in ["", "a b", "a/b", "é", &"u".repeat(65)] {
        let login = server.client.request(Method::POST, "/login").json(&json!({ "user": name }));
        assert!(Client::send(login).await.problem(400).contains("user"), "{name}");
        assert!(user.add(name, 1, "k").await.problem(400).contains("sku"), "{name}");
    }
    for qty in [0, 100, u64::MAX] {
        assert!(user.add("a", qty, "k").await.problem(400).contains("qty"));
    }
    let bodies =
        ["", "{", "[]", r#"["a",1]"#, r#"{"sku":"a"}"#, r#"{"sku":"a","qty":-1}"#, "\u{0}"];
    for body in bodies {
        for path in ["/login", "/cart/items"] {
            let request = user.request(Method::POST, path).header("idempotency-key", "k");
            let json = request.try_clone().unwrap().header("content-type", "application/json");
            Client::send(json.body(body)).await.problem(400);
            Client::send(request.body(body)).await.problem(415);
        }
    }
    for len in [64 * 1024 + 1, 5 << 20] {
        for path in ["/login", "/cart/items", "/checkout"] {
            let request = user.request(Method::POST, path).header("idempotency-key", "k");
            Client::send(request.body("x".repeat(len))).await.problem(413);
        }
    }
    user.post("/checkout?delay_ms=10001", "k").await.problem(400);
    assert!(user.post("/checkout?delay_ms=soon", "k").await.problem(400).contains("delay_ms"));
    for path in ["/checkout", "/logout", "/logout/everywhere"] {
        let request = user.request(Method::POST, path).header("idempotency-key", "k");
        let json = request.try_clone().unwrap().header("content-type", "application/json");
        Client::send(json.body("not json")).await.problem(400);
        Client::send(request.body("{}")).await.problem(415);
    }
    assert!(user.orders().await.is_empty());
    server.client.get("/nowhere").await.problem(404);
    Client::send(server.client.request(Method::PUT, "/cart")).await.problem(405);
    assert_eq!(user.cart().await, json!([]));
}

async fn logging_out_ends_one_session_or_all(home: Home) {
    let server = home.start();
    let (one, two) = (server.client.log_in("alice").await, server.client.log_in("alice").await);
    let bye = one.post("/logout", "bye").await;
    assert_eq!((bye.status, bye.is_replay()), (204, false));
    assert_eq!(bye.header("set-cookie"), None, "no browser sent its cookie");
    let again = one.post("/logout", "bye").await;
    assert_eq!((again.status, again.is_replay()), (204, true), "a retry gets the same answer");
    one.post("/logout", "another").await.problem(401);
    one.get("/cart").await.problem(401);
    one.post("/checkout", "k").await.problem(401);
    assert_eq!(two.get("/cart").await.status, 200);

    // The key of a logout belongs to the session: another one is not taken for a retry.
    let four = server.client.log_in("alice").await;
    assert!(!four.post("/logout", "bye").await.is_replay());
    four.get("/cart").await.problem(401);

    let three = server.client.log_in("alice").await;
    let bob = server.client.log_in("bob").await;
    assert_eq!(two.post("/logout/everywhere", "all").await.status, 204);
    for gone in [&two, &three] {
        gone.get("/session").await.problem(401);
    }
    assert_eq!(bob.get("/session").await.status, 200);
    let back = server.client.log_in("alice").await;
    let devices: Value = back.get("/sessions").await.json();
    assert_eq!(devices["sessions"].as_array().unwrap().len(), 1);
}

/// The page logs out by its token; the browser's cookie may be of a later log-in.
async fn logging_out_by_token_removes_the_cookie_of_that_session_only(home: Home) {
    let server = home.start();
    for path in ["/logout", "/logout/everywhere"] {
        let login = server.client.ask_to_log_in("alice").await;
        let (alice, own) = (server.client.user(&login), cookie(&login));
        let other = cookie(&server.client.ask_to_log_in("bob").await);
        let leave = async |key: &'static str, cookie: &str| {
            let request = alice.request(Method::POST, path).header("idempotency-key", key);
            let bye = Client::send(request.header("cookie", cookie)).await;
            let set_cookie = bye.header("set-cookie");
            let removes = set_cookie.map(|value| value.starts_with("sid=; Max-Age=0"));
            (bye.status, bye.is_replay(), removes)
        };
        assert_eq!(leave("own", &own).await, (204, false, Some(true)), "{path}");
        assert_eq!(leave("own", &own).await, (204, true, Some(true)), "{path}: a retry");
        assert_eq!(leave("own", &other).await, (204, true, None), "{path}: after a log-in");

        let alice = server.client.log_in("alice").await;
        let request = alice.request(Method::POST, path).header("idempotency-key", "other");
        let bye = Client::send(request.header("cookie", &other)).await;
        assert_eq!((bye.status, bye.header("set-cookie")), (204, None), "{path}");
        let session = server.client.request(Method::GET, "/session").header("cookie", &other);
        assert_eq!(Client::send(session).await.json()["user"], "bob", "{path}");
    }
}

/// What a browser sends after this answer to a log-in.
fn cookie(login: &Answer) -> String {
    login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// Real time: the demo has no clock to move.
async fn a_short_session_ends(home: Home) {
    let server = home.env("SESSION_MAX_AGE", "1").start();
    let started = std::time::Instant::now();
    let user = server.client.log_in("alice").await;
    while_told(&[200], async || user.get("/session").await).await;
    assert!(started.elapsed().as_millis() >= 1_000, "it ended early");
    user.get("/session").await.problem(401);
}

/// Real time, as above.
async fn a_forgotten_key_runs_again(home: Home) {
    let server = home.env("IDEMPOTENCY_TTL", "1").start();
    let user = server.client.log_in("alice").await;
    let first = user.post("/checkout", "k").await.json();
    until("the key is forgotten", async || {
        let answer = user.post("/checkout", "k").await;
        assert_eq!(answer.is_replay(), answer.json() == first, "{answer:?}");
        !answer.is_replay()
    })
    .await;
    assert_eq!(user.orders().await.len(), 2);
}
