//! A session: signed in, used from two requests at once, listed, ended.
//!
//! `cargo run --example session`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast::{Principal, Sessions, State, Store};

#[derive(Serialize, Deserialize)]
struct Visit {
    pages: Vec<String>,
}

impl State for Visit {
    const SCHEMA: u16 = 1;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::builder(steadfast::connect("memory:").await?).build()?;
    let sessions: Sessions<Visit> = Sessions::builder(&store)
        .idle(Duration::from_secs(30 * 60))
        .absolute(Duration::from_secs(12 * 3_600))
        .build()?;

    let alice = Principal::new("alice")?;
    let id = sessions.sign_in(&alice, "a laptop", Visit { pages: Vec::new() }).await?.id;

    let (one, two) = tokio::join!(
        sessions.update(&id, |visit| visit.pages.push("/cart".to_owned())),
        sessions.update(&id, |visit| visit.pages.push("/help".to_owned())),
    );
    one?;
    two?;
    if let Some(session) = sessions.load(&id).await? {
        println!("both pages are there: {:?}", session.state.pages);
    }
    for device in sessions.devices(&alice, Some(&id)).await? {
        println!("signed in on {} for {:?}", device.label, device.age);
    }

    sessions.destroy_all(&alice).await?;
    println!("after logging out everywhere: {:?}", sessions.load(&id).await?);
    Ok(())
}
