"""Who may do what in a channel by its namespace alone (facts, section 10): tokens and webhooks are asked before."""

from flux_gateway.messaging.channels import ChannelName
from flux_gateway.messaging.namespaces import Namespace


def may_subscribe(namespace: Namespace, user: str, *, insecure: bool) -> bool:
    """Whether a client may subscribe without token, list or webhook: the last question of those (facts, section 10)."""
    return insecure or (
        namespace.allow_subscribe_for_client and (user != "" or namespace.allow_subscribe_for_anonymous)
    )


def may_publish(
    namespace: Namespace, user: str, subscribed: bool, insecure: bool, name: ChannelName | None = None
) -> bool:
    """Whether a client may publish. `name`, if given, keeps strangers out of user-limited channels."""
    return _may(
        namespace.allow_publish_for_client, namespace.allow_publish_for_subscriber,
        namespace.allow_publish_for_anonymous, namespace, user, subscribed, insecure, name,
    )  # fmt: skip


def may_presence(
    namespace: Namespace, user: str, subscribed: bool, insecure: bool, name: ChannelName | None = None
) -> bool:
    """Whether a client may read presence; whether there is any is another question (108). `name` as above."""
    return _may(
        namespace.allow_presence_for_client, namespace.allow_presence_for_subscriber,
        namespace.allow_presence_for_anonymous, namespace, user, subscribed, insecure, name,
    )  # fmt: skip


def may_history(
    namespace: Namespace, user: str, subscribed: bool, insecure: bool, name: ChannelName | None = None
) -> bool:
    """Whether a client may read history; whether there is any is another question (108). `name` as above."""
    return _may(
        namespace.allow_history_for_client, namespace.allow_history_for_subscriber,
        namespace.allow_history_for_anonymous, namespace, user, subscribed, insecure, name,
    )  # fmt: skip


def _may(
    for_client: bool, for_subscriber: bool, for_anonymous: bool,
    namespace: Namespace, user: str, subscribed: bool, insecure: bool, name: ChannelName | None,
) -> bool:  # fmt: skip
    if insecure:
        return True
    known = user != "" or for_anonymous
    if subscribed and for_subscriber and known:
        return True
    stranger = name is not None and name.limited(namespace) and not name.lists(user)
    return for_client and known and not stranger
