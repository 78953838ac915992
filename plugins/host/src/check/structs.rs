//! The rule about structs of a later minor.

use super::calls::Size::{Grown, Known};
use super::rig::Rig;
use super::values::{self, NOWHERE};
use super::{Asked, Found, Progress, pure};

/// Calls each pure role with structs as it knows them and with larger ones. Deliveries to a `transport` are always larger:
/// the rules about it have them so.
pub(super) fn grown(asked: &Asked, progress: &mut Progress<'_>) -> Result<Found, String> {
    progress.at("loads it");
    let rig = Rig::open(asked)?;
    let app = values::app(&rig, asked, NOWHERE);
    let mut tried = false;
    for stage in &rig.description.stages {
        let instance = rig.instance(stage, &app)?;
        progress.at(&format!("calls `{}` with larger structs", stage.name));
        match stage.role.name() {
            "http_transport" => {
                let rules = pure::rules(stage);
                let delivery = values::delivery(asked, stage, &rules, values::content(&rules, asked));
                let of = |size| instance.request(&delivery, size);
                pure::same("`request`", &of(Known)?, &of(Grown)?)?;
                let of = |size| instance.read(503, 1000, b"{\"errcode\": 1}", size);
                pure::same("`read`", &of(Known)?, &of(Grown)?)?;
            }
            "token_provider" => {
                let of = |size| instance.token_read(503, 1000, b"{\"errcode\": 1}", size);
                pure::same("`read`", &of(Known)?, &of(Grown)?)?;
            }
            "callback" => {
                let of = |size| instance.receive("POST", "a=1", b"{}", size);
                pure::same("`receive`", &of(Known)?, &of(Grown)?)?;
            }
            _ => continue,
        }
        tried = true;
    }
    Ok(if tried { Found::Well } else { Found::Nothing("none of its roles is given a struct here".to_owned()) })
}
