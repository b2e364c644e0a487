//! The messages of `envoy.service.auth.v3.Authorization`, with the fields that are read or written here. The numbers
//! are those of Envoy's `external_auth.proto`, `attribute_context.proto` and `base.proto`. Other fields are skipped
//! when decoding. <https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto>

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

/// The path of the service's only method.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The message `CheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckRequest {
    /// What Envoy knows about the request.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<AttributeContext>,
}

/// The message `AttributeContext`.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeContext {
    /// The client's request.
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
    /// The `context_extensions` of the route: the requirements for its tokens.
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
}

/// The message `AttributeContext.Request`.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The HTTP part of the request.
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// The message `AttributeContext.HttpRequest`.
///
/// Values from the client are decoded as bytes: older versions of Envoy and other gateways pass on header values that
/// are not UTF-8 (Latin-1), and such a value beside a good token must not cause a refusal.
#[derive(Clone, PartialEq, Message)]
pub struct HttpRequest {
    /// The headers by lower-case name. Several of one name are joined by commas. On the wire, a map
    /// is a list of its entries.
    #[prost(message, repeated, tag = "3")]
    pub headers: Vec<ClientHeader>,
    /// The headers one by one, if Envoy is configured with `encode_raw_headers`. `headers` is empty then.
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<HeaderMap>,
}

/// The message `HeaderMap`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMap {
    /// All headers of the request.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<ClientHeader>,
}

/// A header of the client: an entry of `HttpRequest.headers`, or a `HeaderValue`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ClientHeader {
    /// The name of the header.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The value as text.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// The value as bytes, if this is a `HeaderValue`.
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// The message `HeaderValue` in an answer.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValue {
    /// The name of the header.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value as text.
    #[prost(string, tag = "2")]
    pub value: String,
    /// The value as bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// The message `HeaderValueOption`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValueOption {
    /// The header to set.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// What to do with an existing header of this name.
    #[prost(enumeration = "AppendAction", tag = "3")]
    pub append_action: i32,
}

/// The enum `HeaderValueOption.HeaderAppendAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum AppendAction {
    /// Keep the existing header and add this one.
    AppendIfExistsOrAdd = 0,
    /// Keep the existing header; add this one only if there is none.
    AddIfAbsent = 1,
    /// Replace the existing header.
    OverwriteIfExistsOrAdd = 2,
}

/// The message `CheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckResponse {
    /// Whether the request may pass: code 0.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// What is sent to the service or back to the client.
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub http_response: Option<HttpResponse>,
    /// Metadata for later filters and the access log: an encoded `google.protobuf.Struct`. On the wire, a message is
    /// its bytes with their length.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub dynamic_metadata: Option<Bytes>,
}

/// The field `CheckResponse.http_response`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum HttpResponse {
    /// The answer to the client.
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    /// The changes to the request for the service.
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

/// The message `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A code of `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// A text for the log.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// The message `DeniedHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct DeniedHttpResponse {
    /// The status of the answer.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// The headers of the answer.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// The body of the answer.
    #[prost(string, tag = "3")]
    pub body: String,
}

/// The message `HttpStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpStatus {
    /// An HTTP status such as 401.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// The message `OkHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct OkHttpResponse {
    /// Headers to set in the request for the service.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// Headers of the client to remove.
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
}
