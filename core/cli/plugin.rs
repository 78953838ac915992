//! `tidings plugin`: start one, look at those that config names, prove a file.

mod check;
mod embedded;
mod list;
mod load;
mod manifest;
mod new;
mod trial;

pub(crate) use check::rules;
pub(crate) use load::{loaded_or, world, world_looking_on};
pub(crate) use new::NewRole;

use crate::Outcome;
use crate::args::PluginCommand;
use crate::connect::Reach;

pub(crate) async fn plugin(reach: &Reach, command: PluginCommand) -> Outcome {
    match command {
        PluginCommand::New(args) => new::new(&args),
        PluginCommand::List(args) => list::list(reach, &args).await,
        PluginCommand::Check(args) => check::check(&args),
        PluginCommand::CheckRule(args) => trial::in_child(&args),
    }
}
