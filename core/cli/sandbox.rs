//! `tidings sandbox`: WeChat's server, simulated, alone.

use tidings_wechat_sandbox::{Callback, DEFAULT_APPID, FaultFile, Options, PushFormat, start};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::SandboxArgs;
use crate::{Failure, Outcome};

pub(crate) async fn sandbox(args: SandboxArgs) -> Outcome {
    let mut options = Options { seed: args.seed, ..Options::default() };
    if let Some(path) = &args.faults {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("read `{shown}`: {error}")))?;
        let file: FaultFile = toml::from_str(&text).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
        options.faults = file.faults;
    }
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::Failed(format!("listen on {}: {error}; choose another with `--listen`", args.listen))
    })?;
    let sandbox = start(listener, options).await;
    if let (Some(url), Some(token)) = (args.callback, args.callback_token) {
        let callback = Callback { url, token, key: args.callback_key, format: PushFormat::default(), copies: 1 };
        sandbox.control().set_callback(Some(callback)).map_err(|error| Failure::Usage(format!("callback: {error}")))?;
    }
    let url = sandbox.base_url();
    eprintln!("WeChat, simulated, at {url} for app {DEFAULT_APPID}; what it can do: curl {url}/sandbox/");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let counts = sandbox.control().counts();
    eprintln!("stopped after {} deliveries", counts.deliveries);
    sandbox.stop().await;
    Ok(())
}
