//! `tidings backup`: a consistent copy of the store, by the running engine, or of a store that none has.

use std::path::Path;
use std::time::Instant;

use tidings_api::client::ClientError;
use tidings_api::wire::BackupReply;
use tidings_engine::config::local_store;
use tidings_store::StoreError;

use crate::args::BackupArgs;
use crate::connect::Reach;
use crate::{Failure, Outcome, output};

pub(crate) async fn backup(reach: &Reach, args: BackupArgs) -> Outcome {
    if reach.url.is_some() {
        let text =
            "a backup is a file on the engine's machine, made over its local socket; run this there, without --url";
        return Err(Failure::Usage(text.to_owned()));
    }
    // The engine may have been started in another folder.
    let target = std::path::absolute(&args.file)?;
    let name = target.to_str().ok_or_else(|| Failure::Usage("the name of the file is not UTF-8".to_owned()))?;
    let (made, who) = match reach.client()?.backup(name).await {
        Ok(made) => (made, "by the running engine"),
        Err(ClientError::Unreachable { .. }) => (copy(reach, &target).await?, "no engine runs"),
        Err(error) => return Err(error.into()),
    };
    if args.json {
        return output::json(&made);
    }
    output::line(&format!("{}: {} bytes in {} ms ({who})", made.path, made.bytes, made.took_ms))
}

/// Nobody answers: the store is free, or its lock says who has it.
async fn copy(reach: &Reach, target: &Path) -> Result<BackupReply, Failure> {
    let Some(store) = local_store(&reach.config).map_err(Failure::Usage)? else {
        return Err(StoreError::NotInAFile.into());
    };
    let begun = Instant::now();
    let bytes = tidings_store::backup(&format!("sqlite://{}", store.display()), target).await?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(BackupReply { path: target.display().to_string(), bytes, took_ms })
}
