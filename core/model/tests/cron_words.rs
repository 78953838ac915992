//! Expressions in words: the shapes that people write, in both languages.

use tidings_model::cron::{Cron, Language};

const SAID: &[(&str, &str, &str)] = &[
    ("* * * * *", "every minute", "每分钟"),
    ("*/5 * * * *", "every 5 minutes", "每 5 分钟"),
    (
        "*/7 * * * *",
        "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour",
        "每时第 0、7、14、21、28、35、42、49、56 分",
    ),
    ("0 * * * *", "every hour", "每小时"),
    ("@hourly", "every hour", "每小时"),
    ("17 * * * *", "every hour at minute 17", "每小时第 17 分"),
    ("0 */2 * * *", "every 2 hours", "每 2 小时"),
    ("30 */6 * * *", "every 6 hours at minute 30", "每 6 小时第 30 分"),
    ("0 9 * * *", "at 09:00 every day", "每天 09:00"),
    ("@daily", "at 00:00 every day", "每天 00:00"),
    ("0 9,18 * * *", "at 09:00 and 18:00 every day", "每天 09:00、18:00"),
    ("15,45 8-9 * * *", "at 08:15, 08:45, 09:15 and 09:45 every day", "每天 08:15、08:45、09:15、09:45"),
    ("0 9 * * 1-5", "at 09:00, Monday to Friday", "周一至周五 09:00"),
    ("0 9 * * mon,tue,wed,thu,fri", "at 09:00, Monday to Friday", "周一至周五 09:00"),
    ("0 9 * * 0,6", "at 09:00 on Saturday and Sunday", "周六、周日 09:00"),
    ("0 9 * * 7", "at 09:00 on Sunday", "周日 09:00"),
    ("@weekly", "at 00:00 on Sunday", "周日 00:00"),
    (
        "*/15 9-17 * * 1-5",
        "every 15 minutes from 09:00 to 17:45, Monday to Friday",
        "周一至周五 09:00 至 17:45 每 15 分钟",
    ),
    ("* 9-17 * * *", "every minute from 09:00 to 17:59", "09:00 至 17:59 每分钟"),
    ("* 9 * * *", "every minute from 09:00 to 09:59", "09:00 至 09:59 每分钟"),
    ("30 9-17 * * *", "every hour from 09:30 to 17:30", "09:30 至 17:30 每小时"),
    ("0 0 1 * *", "at 00:00 on day 1 of the month", "每月 1 日 00:00"),
    ("@monthly", "at 00:00 on day 1 of the month", "每月 1 日 00:00"),
    ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month", "每月 1、15 日 00:00"),
    ("0 0 1-7 * *", "at 00:00 on days 1 to 7 of the month", "每月 1至7 日 00:00"),
    ("@yearly", "at 00:00 on 1 January", "每年 1 月 1 日 00:00"),
    ("0 0 1 1,7 *", "at 00:00 on day 1 of January and July", "每年 1 月、7 月 1 日 00:00"),
    ("0 12 * 6-8 *", "at 12:00, in June to August", "6 月至8 月每天 12:00"),
    ("0 12 * 12 5", "at 12:00 on Friday, in December", "12 月的周五 12:00"),
    ("0 9 13 * 5", "at 09:00 on day 13 of the month or on Friday", "每月 13 日或周五 09:00"),
    (
        "0 9 */2 * 1",
        "at 09:00 on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month if that is Monday",
        "每月 1、3、5、7、9、11、13、15、17、19、21、23、25、27、29、31 日且为周一 09:00",
    ),
    ("0 9 1-31 * 1", "at 09:00 every day", "每天 09:00"),
    ("* * * * * *", "every second", "每秒"),
    ("*/10 * * * * *", "every 10 seconds", "每 10 秒"),
    ("30 * * * * *", "every minute, at second 30", "每分钟(第 30 秒)"),
    ("30 0 9 * * *", "at 09:00:30 every day", "每天 09:00:30"),
    ("5,10 0 9 * * *", "at seconds 5 and 10 of minute 0 of hour 9", "第 9 时第 0 分第 5、10 秒"),
    ("5-8,20 1-7,23 * * *", "at minutes 5 to 8 and 20 of hours 1 to 7 and 23", "第 1至7、23 时第 5至8、20 分"),
    ("@every 90s", "every 1 minute 30 seconds", "每 1 分钟 30 秒"),
    ("@every 1h", "every hour", "每 1 小时"),
    ("@every 36h", "every 36 hours", "每 36 小时"),
];

#[test]
fn what_people_write_has_words_they_would_use() {
    for (text, english, chinese) in SAID {
        let cron = Cron::parse(text).unwrap();
        assert_eq!(cron.words(Language::English), *english, "{text}");
        assert_eq!(cron.words(Language::Chinese), *chinese, "{text}");
    }
}
