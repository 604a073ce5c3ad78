"""What `texapi doctor` says, in English and in Vietnamese: what was found, and the way out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

Language = Literal["en", "vi"]
Check = Literal["key", "address", "dns", "connection", "tls", "clock", "models", "request", "ledger"]
Verdict = Literal["ok", "warning", "fault", "skipped"]
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")


class Text(NamedTuple):
    """A sentence on what is, and one on what to do about it."""

    what: str
    way_out: str = ""


def language_of_locale() -> Language:
    """The language of the first locale that the environment names; English unless it is Vietnamese."""
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    return "vi" if locale.lower().startswith("vi") else "en"


WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "key": "key",
        "address": "address",
        "dns": "DNS",
        "connection": "connection",
        "tls": "TLS",
        "clock": "clock",
        "models": "models",
        "request": "request",
        "ledger": "ledger",
        "ok": "ok",
        "warning": "warning",
        "fault": "fault",
        "skipped": "skipped",
        "well": "All is well.",
        "warned": "It works; see the warnings.",
        "ill": "It does not work yet: begin with the first fault.",
        "progress": "Looking…",
    },
    "vi": {
        "key": "key",
        "address": "địa chỉ",
        "dns": "DNS",
        "connection": "kết nối",
        "tls": "TLS",
        "clock": "đồng hồ",
        "models": "model",
        "request": "gọi thử",
        "ledger": "sổ ghi",
        "ok": "tốt",
        "warning": "lưu ý",
        "fault": "lỗi",
        "skipped": "bỏ qua",
        "well": "Mọi thứ đều ổn.",
        "warned": "Dùng được; hãy xem các lưu ý.",
        "ill": "Chưa dùng được: hãy sửa lỗi đầu tiên trước.",
        "progress": "Đang kiểm tra…",
    },
}

TEXTS: Mapping[Language, Mapping[str, Text]] = {
    "en": {
        "not_reached": Text("Not looked at, because of what is above."),
        "key_there": Text("TEXAPI_API_KEY holds a key that ends in {hint}."),
        "key_missing": Text(
            "TEXAPI_API_KEY is not set.",
            "Make a key in your TexAPI account, then: export TEXAPI_API_KEY=sk-tex-...",
        ),
        "key_quoted": Text(
            "The key in TEXAPI_API_KEY begins or ends with a quotation mark.",
            "Take the quotation marks out: some shells and .env readers keep them.",
        ),
        "key_with_bearer": Text(
            'The key in TEXAPI_API_KEY begins with "Bearer".',
            "Set the key alone; the word is added when it is sent.",
        ),
        "key_placeholder": Text(
            "TEXAPI_API_KEY holds a placeholder, not a key.", "Put in the key from your TexAPI account."
        ),
        "key_spoilt": Text(
            "The key in TEXAPI_API_KEY holds white space, a line break or a character that no key has.",
            "Copy it again from your TexAPI account, in one piece.",
        ),
        "key_foreign": Text(
            "The key in TEXAPI_API_KEY does not begin with sk-tex-.",
            "If the gateway refuses it below, it is another provider's: use the key of your TexAPI account.",
        ),
        "key_short": Text(
            "The key in TEXAPI_API_KEY has {length} characters, fewer than keys have.",
            "If the gateway refuses it below, it was cut off: copy it again from your TexAPI account.",
        ),
        "address_default": Text("{url}, the gateway's own."),
        "address_set": Text("{url}, by {variable}."),
        "address_unusable": Text(
            "{variable} holds no address that can be used: {url}",
            "It must look like {default}, without a user name, a query or an endpoint. Unset it for the "
            "gateway's own.",
        ),
        "dns_known": Text("{host} is {addresses}."),
        "dns_proxy": Text("The way goes through the proxy {host}:{port}, by HTTP(S)_PROXY."),
        "dns_unknown": Text(
            "{host} cannot be found: {reason}.",
            "Check the spelling of the address, the network, the VPN and the DNS of this computer.",
        ),
        "connected": Text("{host}:{port} answers in {ms} ms."),
        "refused": Text(
            "{host}:{port} refuses the connection.",
            "Check the port of the address, and that what should listen there is running.",
        ),
        "silent": Text(
            "{host}:{port} did not answer in {seconds} seconds.",
            "A firewall may be in the way: let connections to it out, or set HTTPS_PROXY.",
        ),
        "unreachable": Text(
            "{host}:{port} cannot be reached: {reason}.", "Check the network, the VPN and the firewall."
        ),
        "tls_trusted": Text("{version}; the certificate of {host} is trusted."),
        "tls_not_needed": Text("None, and none is needed: the address is this computer's."),
        "tls_missing": Text(
            "The address is http://: the key and your prompts travel in clear text.",
            "Use https:// in the address, unless the network between is your own.",
        ),
        "certificate_untrusted": Text(
            "The certificate of {host} is not trusted: {reason}.",
            "If your company's proxy reads along, name its certificates in SSL_CERT_FILE; else do not go on.",
        ),
        "certificates_missing": Text(
            "The certificates to trust cannot be read: {reason}.",
            "Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them.",
        ),
        "certificate_early": Text(
            "The certificate of {host} is not valid yet, and this computer says that it is {now}.",
            "Set the clock of this computer right.",
        ),
        "certificate_expired": Text(
            "The certificate of {host} has expired, and this computer says that it is {now}.",
            "Set the clock of this computer right; if it is, the server must renew its certificate.",
        ),
        "certificate_of_another": Text(
            "The certificate is not for {host}: {reason}.",
            "Check the address; something between may be answering in the gateway's place.",
        ),
        "no_tls": Text(
            "{host} does not speak TLS at this port: {reason}.",
            "Use http:// if that is a server of your own, else check the port.",
        ),
        "no_http": Text(
            "{host} does not answer as a web server: {reason}.",
            "Check http:// or https:// and the port of the address.",
        ),
        "clock_right": Text("Right, to {seconds} seconds."),
        "clock_slow": Text(
            "This computer's clock is {seconds} seconds behind the gateway's.",
            "Have it set by the network: the days of the ledger, and certificates, go by it.",
        ),
        "clock_fast": Text(
            "This computer's clock is {seconds} seconds ahead of the gateway's.",
            "Have it set by the network: the days of the ledger, and certificates, go by it.",
        ),
        "clock_unknown": Text("The gateway does not say what time it is."),
        "models_listed": Text("The key can use {count} models; `texapi models` lists them."),
        "models_none": Text(
            "The key can use no model.", "Give the key rights to models in your TexAPI account."
        ),
        "model_unlisted": Text(
            "{model} is not among the models that the key can use.", "`texapi models` lists them."
        ),
        "request_not_wanted": Text("Not sent, by --no-request."),
        "answered": Text(
            "{model} answered in {ms} ms; {input} tokens in, {output} out; request id {request_id}."
        ),
        "answered_without_usage": Text(
            "{model} answered in {ms} ms, and the gateway reports no usage; request id {request_id}.",
            "Costs and budgets cannot count such calls: show the request id to the gateway's support.",
        ),
        "no_such_model": Text("The gateway has no model {model}.", "`texapi models` lists those of the key."),
        "wrong_key": Text(
            "The gateway does not accept the key; request id {request_id}.",
            "Compare its end with the keys of your TexAPI account: it may be cut off, revoked or another's.",
        ),
        "no_credits": Text(
            "The balance is used up; request id {request_id}.", "Top up the balance of your TexAPI account."
        ),
        "spending_limit": Text(
            "A spending limit is reached; request id {request_id}.",
            "Raise the limit in your TexAPI account, or wait for its reset.",
        ),
        "rate_limited": Text(
            "Too many requests come with this key; request id {request_id}.",
            "Wait a minute, and send fewer requests at a time.",
        ),
        "not_allowed": Text(
            "The key may not do this; request id {request_id}.",
            "Use another key, or change the key's rights in your TexAPI account.",
        ),
        "redirected": Text(
            "The address leads to another host, which gets no key: {reason}",
            "Set TEXAPI_BASE_URL to the address that is meant to have your key.",
        ),
        "too_slow": Text("No answer came in {seconds} seconds.", "Try again, or with a longer --timeout."),
        "broken": Text("The connection broke: {reason}", "Try again; a proxy or a VPN may cut connections."),
        "no_texapi": Text(
            "{url} does not answer as TexAPI does: {reason}",
            "Check the address; it ends in /v1.",
        ),
        "server_failed": Text(
            "The gateway, or the provider behind it, failed; request id {request_id}.",
            "Try again later; if it stays, show the request id to the gateway's support.",
        ),
        "failed": Text(
            "{reason}", "Do as the message says; the error's page in the documentation says more."
        ),
        "ledger_usable": Text("The ledger that TEXAPI_USAGE_LEDGER names can be used."),
        "ledger_written": Text("The ledger is written; the call above is in it, with the tag {tag}."),
        "ledger_silent": Text(
            "The ledger could not be written in {seconds} seconds.",
            "Check that the database of TEXAPI_USAGE_LEDGER is there and may be written.",
        ),
        "ledger_unusable": Text("The ledger cannot be used: {reason}", "Correct TEXAPI_USAGE_LEDGER."),
    },
    "vi": {
        "not_reached": Text("Chưa kiểm tra, vì vướng lỗi ở trên."),
        "key_there": Text("TEXAPI_API_KEY có key, kết thúc bằng {hint}."),
        "key_missing": Text(
            "Chưa đặt TEXAPI_API_KEY.",
            "Hãy tạo key trong tài khoản TexAPI, rồi: export TEXAPI_API_KEY=sk-tex-...",
        ),
        "key_quoted": Text(
            "Key trong TEXAPI_API_KEY có dấu nháy ở đầu hoặc cuối.",
            "Hãy bỏ dấu nháy: một số shell và trình đọc file .env giữ nguyên chúng.",
        ),
        "key_with_bearer": Text(
            'Key trong TEXAPI_API_KEY bắt đầu bằng "Bearer".',
            "Chỉ đặt key thôi; chữ đó được thêm vào khi gửi.",
        ),
        "key_placeholder": Text(
            "TEXAPI_API_KEY chứa chữ mẫu, chưa phải key.", "Hãy thay bằng key trong tài khoản TexAPI của bạn."
        ),
        "key_spoilt": Text(
            "Key trong TEXAPI_API_KEY có khoảng trắng, xuống dòng hoặc ký tự mà key không bao giờ có.",
            "Hãy chép lại nguyên vẹn từ tài khoản TexAPI.",
        ),
        "key_foreign": Text(
            "Key trong TEXAPI_API_KEY không bắt đầu bằng sk-tex-.",
            "Nếu gateway từ chối ở bước dưới thì đó là key của nhà cung cấp khác: hãy dùng key của TexAPI.",
        ),
        "key_short": Text(
            "Key trong TEXAPI_API_KEY chỉ có {length} ký tự, ít hơn bình thường.",
            "Nếu gateway từ chối ở bước dưới thì key bị chép thiếu: hãy chép lại từ tài khoản TexAPI.",
        ),
        "address_default": Text("{url}, địa chỉ mặc định của gateway."),
        "address_set": Text("{url}, lấy từ {variable}."),
        "address_unusable": Text(
            "Địa chỉ trong {variable} không dùng được: {url}",
            "Địa chỉ phải có dạng {default}, không kèm tên người dùng, query hay endpoint. Bỏ biến này đi để "
            "dùng địa chỉ mặc định.",
        ),
        "dns_known": Text("{host} là {addresses}."),
        "dns_proxy": Text("Đi qua proxy {host}:{port}, theo HTTP(S)_PROXY."),
        "dns_unknown": Text(
            "Không phân giải được tên miền {host}: {reason}.",
            "Hãy kiểm tra chính tả của địa chỉ, mạng, VPN và DNS của máy.",
        ),
        "connected": Text("{host}:{port} trả lời sau {ms} ms."),
        "refused": Text(
            "{host}:{port} từ chối kết nối.",
            "Hãy kiểm tra cổng trong địa chỉ, và xem máy chủ ở đó có đang chạy không.",
        ),
        "silent": Text(
            "{host}:{port} không trả lời trong {seconds} giây.",
            "Có thể bị tường lửa chặn: hãy mở kết nối ra ngoài, hoặc đặt HTTPS_PROXY.",
        ),
        "unreachable": Text(
            "Không kết nối được tới {host}:{port}: {reason}.", "Hãy kiểm tra mạng, VPN và tường lửa."
        ),
        "tls_trusted": Text("{version}; chứng chỉ của {host} đáng tin cậy."),
        "tls_not_needed": Text("Không có, và cũng không cần: địa chỉ là của chính máy này."),
        "tls_missing": Text(
            "Địa chỉ là http://: key và prompt của bạn đi qua mạng mà không mã hóa.",
            "Hãy dùng https://, trừ khi mạng ở giữa là của riêng bạn.",
        ),
        "certificate_untrusted": Text(
            "Chứng chỉ của {host} không đáng tin cậy: {reason}.",
            "Nếu công ty bạn dùng proxy giải mã, hãy khai chứng chỉ của nó trong SSL_CERT_FILE; nếu không, "
            "đừng tiếp tục.",
        ),
        "certificates_missing": Text(
            "Không đọc được các chứng chỉ đáng tin cậy: {reason}.",
            "Hãy sửa SSL_CERT_FILE và SSL_CERT_DIR, hoặc bỏ các biến này đi.",
        ),
        "certificate_early": Text(
            "Chứng chỉ của {host} chưa có hiệu lực, còn đồng hồ máy này là {now}.",
            "Hãy chỉnh lại đồng hồ của máy.",
        ),
        "certificate_expired": Text(
            "Chứng chỉ của {host} đã hết hạn, còn đồng hồ máy này là {now}.",
            "Hãy chỉnh lại đồng hồ của máy; nếu đồng hồ đúng thì máy chủ phải gia hạn chứng chỉ.",
        ),
        "certificate_of_another": Text(
            "Chứng chỉ không phải của {host}: {reason}.",
            "Hãy kiểm tra địa chỉ; có thể thứ gì đó ở giữa đang trả lời thay gateway.",
        ),
        "no_tls": Text(
            "{host} không dùng TLS ở cổng này: {reason}.",
            "Nếu đó là máy chủ của bạn thì dùng http://, nếu không hãy kiểm tra cổng.",
        ),
        "no_http": Text(
            "{host} không trả lời như một máy chủ web: {reason}.",
            "Hãy kiểm tra http:// hay https:// và cổng trong địa chỉ.",
        ),
        "clock_right": Text("Đúng giờ, lệch {seconds} giây."),
        "clock_slow": Text(
            "Đồng hồ máy này chậm hơn gateway {seconds} giây.",
            "Hãy bật đồng bộ giờ qua mạng: ngày trong sổ ghi và chứng chỉ đều dựa vào đồng hồ.",
        ),
        "clock_fast": Text(
            "Đồng hồ máy này nhanh hơn gateway {seconds} giây.",
            "Hãy bật đồng bộ giờ qua mạng: ngày trong sổ ghi và chứng chỉ đều dựa vào đồng hồ.",
        ),
        "clock_unknown": Text("Gateway không cho biết giờ."),
        "models_listed": Text("Key dùng được {count} model; xem bằng `texapi models`."),
        "models_none": Text(
            "Key không dùng được model nào.", "Hãy cấp quyền dùng model cho key trong tài khoản TexAPI."
        ),
        "model_unlisted": Text(
            "{model} không nằm trong các model mà key dùng được.", "Xem bằng `texapi models`."
        ),
        "request_not_wanted": Text("Không gửi, theo --no-request."),
        "answered": Text(
            "{model} trả lời sau {ms} ms; {input} token vào, {output} token ra; request id {request_id}."
        ),
        "answered_without_usage": Text(
            "{model} trả lời sau {ms} ms nhưng gateway không báo số token; request id {request_id}.",
            "Chi phí và ngân sách không tính được những lời gọi này: hãy gửi request id cho bộ phận hỗ trợ.",
        ),
        "no_such_model": Text(
            "Gateway không có model {model}.", "Xem các model của key bằng `texapi models`."
        ),
        "wrong_key": Text(
            "Gateway không nhận key này; request id {request_id}.",
            "Hãy so phần cuối với các key trong tài khoản TexAPI: có thể chép thiếu, đã bị xóa, hoặc của nơi "
            "khác.",
        ),
        "no_credits": Text(
            "Đã hết số dư; request id {request_id}.", "Hãy nạp thêm tiền vào tài khoản TexAPI."
        ),
        "spending_limit": Text(
            "Đã chạm hạn mức chi tiêu; request id {request_id}.",
            "Hãy nâng hạn mức trong tài khoản TexAPI, hoặc chờ đến kỳ sau.",
        ),
        "rate_limited": Text(
            "Key này gửi quá nhiều request; request id {request_id}.",
            "Hãy chờ một phút, và gửi ít request song song hơn.",
        ),
        "not_allowed": Text(
            "Key không được phép làm việc này; request id {request_id}.",
            "Hãy dùng key khác, hoặc đổi quyền của key trong tài khoản TexAPI.",
        ),
        "redirected": Text(
            "Địa chỉ chuyển hướng sang máy chủ khác, nơi không được nhận key: {reason}",
            "Hãy đặt TEXAPI_BASE_URL đúng địa chỉ được phép nhận key của bạn.",
        ),
        "too_slow": Text("Không có câu trả lời trong {seconds} giây.", "Hãy thử lại, hoặc tăng --timeout."),
        "broken": Text("Kết nối bị đứt: {reason}", "Hãy thử lại; có thể proxy hoặc VPN cắt kết nối."),
        "no_texapi": Text(
            "{url} không trả lời như TexAPI: {reason}",
            "Hãy kiểm tra địa chỉ; địa chỉ kết thúc bằng /v1.",
        ),
        "server_failed": Text(
            "Gateway, hoặc nhà cung cấp phía sau, gặp lỗi; request id {request_id}.",
            "Hãy thử lại sau; nếu vẫn lỗi, hãy gửi request id cho bộ phận hỗ trợ.",
        ),
        "failed": Text("{reason}", "Hãy làm theo thông báo; xem thêm trang về lỗi trong tài liệu."),
        "ledger_usable": Text("Sổ ghi trong TEXAPI_USAGE_LEDGER dùng được."),
        "ledger_written": Text("Sổ ghi đã được ghi; lời gọi thử ở trên nằm trong đó, với tag {tag}."),
        "ledger_silent": Text(
            "Không ghi được sổ ghi trong {seconds} giây.",
            "Hãy kiểm tra database trong TEXAPI_USAGE_LEDGER có tồn tại và có quyền ghi không.",
        ),
        "ledger_unusable": Text("Không dùng được sổ ghi: {reason}", "Hãy sửa TEXAPI_USAGE_LEDGER."),
    },
}
