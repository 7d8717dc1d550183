//! The few requests that the tests are made of.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Within this, whatever is waited for comes, on however busy a machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(180);

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WAIT_MAX, "{what}: never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends the same again while it is answered with one of these.
pub(crate) async fn while_told(statuses: &[u16], call: impl AsyncFn() -> Answer) -> Answer {
    let started = Instant::now();
    loop {
        let answer = call().await;
        if !statuses.contains(&answer.status) {
            return answer;
        }
        assert!(started.elapsed() < WAIT_MAX, "again and again: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Talks to one demo.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) url: String,
    http: reqwest::Client,
}

/// A response, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Checks that this is a problem of this status, and gives its detail.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: reqwest::Client::builder().timeout(WAIT_MAX).build().unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn log_in(&self, user: &str) -> User {
        let answer = self.ask_to_log_in(user).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.user(&answer)
    }

    pub(crate) async fn ask_to_log_in(&self, user: &str) -> Answer {
        let request = self.request(Method::POST, "/login").json(&json!({ "user": user }));
        Self::send(request).await
    }

    /// Who got this answer to a log-in.
    pub(crate) fn user(&self, login: &Answer) -> User {
        let token = login.json()["token"].as_str().unwrap().to_owned();
        User { client: self.clone(), token }
    }
}

/// Somebody who has logged in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl User {
    /// The same user at another process.
    pub(crate) fn at(&self, client: &Client) -> Self {
        Self { client: client.clone(), token: self.token.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, path);
        request.header(AUTHORIZATION, format!("Bearer {}", self.token))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Client::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str) -> Answer {
        let request = self.request(Method::POST, path);
        Client::send(request.header("idempotency-key", key)).await
    }

    pub(crate) async fn add(&self, sku: &str, qty: u64, key: &str) -> Answer {
        let request = self.request(Method::POST, "/cart/items").header("idempotency-key", key);
        Client::send(request.json(&json!({ "sku": sku, "qty": qty }))).await
    }

    pub(crate) async fn cart(&self) -> Value {
        self.get("/cart").await.json()["items"].clone()
    }

    pub(crate) async fn orders(&self) -> Vec<Value> {
        self.get("/orders").await.json()["orders"].as_array().unwrap().clone()
    }
}
