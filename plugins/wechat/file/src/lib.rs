//! WeChat as a plugin file: the same code that is built in, on the other side of the border.

tidings_sdk::export!(
    name: "wechat",
    roles: [token_provider, credential_source, http_transport, callback],
    plugin: tidings_wechat::plugin(),
);
