//! What the backend says of itself.

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Outcome, ensure, ensure_eq};

cases!("promise": info_is_what_was_declared, an_open_backend_is_healthy);

async fn info_is_what_was_declared(context: &mut Context) -> Outcome {
    let (found, declared) = (context.backend.info(), &context.settings.declared);
    ensure_eq!(found.name, declared.name, "the name");
    ensure_eq!(found.capabilities, declared.capabilities, "the capabilities");
    Ok(())
}

async fn an_open_backend_is_healthy(context: &mut Context) -> Outcome {
    let health = context.backend.check().await?;
    if let (Some(used_bytes), Some(limit_bytes)) = (health.used_bytes, health.limit_bytes) {
        ensure!(used_bytes <= limit_bytes, "{used_bytes} of {limit_bytes} bytes are used");
    }
    Ok(())
}
