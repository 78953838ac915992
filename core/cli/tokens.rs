//! `tidings tokens`: look, refresh.

use tidings_api::wire::Token;

use crate::args::TokensCommand;
use crate::connect::Reach;
use crate::{Outcome, output};

pub(crate) async fn tokens(reach: &Reach, command: TokensCommand) -> Outcome {
    let client = reach.client()?;
    match command {
        TokensCommand::List(args) => {
            let tokens = client.tokens().await?;
            if args.json { output::json(&tokens) } else { table(tokens) }
        }
        TokensCommand::Refresh(args) => {
            let token = client.refresh_token(&args.app, args.reason).await?;
            if args.json { output::json(&token) } else { table(vec![token]) }
        }
    }
}

fn table(tokens: Vec<Token>) -> Outcome {
    let rows: Vec<Vec<String>> = tokens
        .into_iter()
        .map(|token| {
            let max = token.fetches_max.map_or(String::new(), |max| format!(" of {max}"));
            vec![
                token.app,
                token.state,
                output::or_dash(token.fetched_at),
                output::or_dash(token.expires_at),
                format!("{}{max}", token.fetches_today),
                token.problem.unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["APP", "STATE", "FETCHED", "EXPIRES", "FETCHES TODAY", "PROBLEM"], &rows)
}
