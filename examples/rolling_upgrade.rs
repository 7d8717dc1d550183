//! Two builds of one service share a store: the new one writes what the old one reads, until the
//! old one is gone.
//!
//! `cargo run --example rolling_upgrade`

use serde::{Deserialize, Serialize};
use steadfast::schema::{Downcast, Older};
use steadfast::{Result, Sessions, State, Store};

/// What the old build knows.
#[derive(Serialize, Deserialize)]
struct VisitV1 {
    pages: u32,
}

impl State for VisitV1 {
    const SCHEMA: u16 = 1;
}

/// What the new build knows.
#[derive(Serialize, Deserialize)]
struct Visit {
    pages: u32,
    language: Option<String>,
}

impl State for Visit {
    const SCHEMA: u16 = 2;

    fn upcast(older: Older<'_>) -> Result<Self> {
        let VisitV1 { pages } = older.read()?;
        Ok(Self { pages, language: None })
    }

    fn downcast(&self, to: Downcast) -> Result<Vec<u8>> {
        to.write(&VisitV1 { pages: self.pages })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let backend = steadfast::connect("memory:").await?;
    let old_store = Store::builder(backend.clone()).build()?;
    let new_store = Store::builder(backend).write_floor::<Visit>(1).build()?;
    let old: Sessions<VisitV1> = Sessions::builder(&old_store).build()?;
    let new: Sessions<Visit> = Sessions::builder(&new_store).build()?;

    // While both run, a session may be served by either, in any order.
    let id = old.create(VisitV1 { pages: 1 }).await?.id;
    new.update(&id, |visit| visit.pages += 1).await?;
    old.update(&id, |visit| visit.pages += 1).await?;
    let pages = new.load(&id).await?.map(|session| session.state.pages);
    println!("both builds counted: {pages:?} pages");

    // The old build is gone everywhere.
    new_store.finalize::<Visit>();
    new.update(&id, |visit| visit.language = Some("fr".to_owned())).await?;

    // Somebody starts it again: it says what it cannot read, and destroys nothing.
    if let Err(error) = old.load(&id).await {
        println!("the old build says: {error}");
    }
    let language = new.load(&id).await?.and_then(|session| session.state.language);
    println!("and nothing is lost: {language:?}");
    Ok(())
}
