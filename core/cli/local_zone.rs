//! The time zone of whoever looks: `TZ`, or what this machine is set to.

use std::path::Path;

use chrono_tz::Tz;

/// The zone by its name; UTC if nobody says.
pub(crate) fn local_zone() -> Tz {
    let named = std::env::var("TZ").ok();
    let linked = std::fs::read_link("/etc/localtime").ok();
    let written = std::fs::read_to_string("/etc/timezone").ok();
    zone_of(named.as_deref(), linked.as_deref(), written.as_deref())
}

fn zone_of(named: Option<&str>, linked: Option<&Path>, written: Option<&str>) -> Tz {
    // POSIX has a colon before the name of a file; what is a rule of its own has no name, and is not read.
    if let Some(named) = named.map(|name| name.trim_start_matches(':')).filter(|name| !name.is_empty()) {
        return zone_in(named).unwrap_or(Tz::UTC);
    }
    let linked = linked.and_then(Path::to_str).and_then(zone_in);
    linked.or_else(|| zone_in(written?.trim())).unwrap_or(Tz::UTC)
}

/// The zone that a name or the end of a path names.
fn zone_in(text: &str) -> Option<Tz> {
    text.split_once("zoneinfo/").map_or(text, |(_, name)| name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_that_of_the_environment_then_of_the_machine_then_utc() {
        let shanghai = Path::new("/usr/share/zoneinfo/Asia/Shanghai");
        assert_eq!(zone_of(Some("Europe/Berlin"), Some(shanghai), None), Tz::Europe__Berlin);
        assert_eq!(zone_of(Some(":Europe/Berlin"), None, None), Tz::Europe__Berlin);
        assert_eq!(zone_of(Some("/usr/share/zoneinfo/Europe/Berlin"), None, None), Tz::Europe__Berlin);
        assert_eq!(zone_of(None, Some(shanghai), Some("Europe/Berlin\n")), Tz::Asia__Shanghai);
        assert_eq!(zone_of(Some(""), None, Some("Europe/Berlin\n")), Tz::Europe__Berlin);
        assert_eq!(zone_of(Some("CET-1CEST"), Some(shanghai), None), Tz::UTC);
        assert_eq!(zone_of(None, None, None), Tz::UTC);
    }
}
