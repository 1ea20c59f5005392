"""How things look on the wire: the JSON of the Bot API's objects. Owns shapes; never decides who may see them.

Source: the Bot API's "Available types".
"""

from __future__ import annotations

from typing import Any

from homunculus.testing.telegram.world import Bot, Chat, Message, User

Json = dict[str, Any]


def user(person: User) -> Json:
    body: Json = {"id": person.id, "is_bot": person.bot, "first_name": person.name}
    return {**body, "username": person.username} if person.username else body


def me(bot: Bot) -> Json:
    return {
        **user(bot.user),
        "can_join_groups": True,
        "can_read_all_group_messages": not bot.privacy,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def chat(place: Chat) -> Json:
    body: Json = {"id": place.id, "type": place.kind}
    if place.person is not None:
        body["first_name"] = place.person.name
    else:
        body["title"] = place.title
    if place.forum:
        body["is_forum"] = True
    return {**body, "username": place.username} if place.username else body


def full_chat(place: Chat) -> Json:
    """Return a ChatFullInfo."""
    gifts = {
        "unlimited_gifts": False,
        "limited_gifts": False,
        "unique_gifts": False,
        "premium_subscription": False,
        "gifts_from_channels": False,
    }
    body = {**chat(place), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}
    if place.reactions is not None:
        body["available_reactions"] = [{"type": "emoji", "emoji": emoji} for emoji in sorted(place.reactions)]
    return body if place.kind == "private" else {**body, "permissions": {"can_send_messages": True}}


def member(place: Chat, person: User) -> Json:
    """Return a ChatMember; people belong to every chat, bots to those they were added to."""
    body: Json = {"user": user(person)}
    if person.id in place.kicked:
        return {**body, "status": "kicked", "until_date": 0}
    if person.bot and person.id not in place.members:
        return {**body, "status": "left"}
    if person.id in place.muted:
        return {**body, "status": "restricted", "is_member": True, "until_date": 0, **dict.fromkeys(_RIGHTS, False)}
    return {**body, "status": "member"}


_RIGHTS = (
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_send_messages",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_manage_topics",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_edit_tag",
    "can_react_to_messages",
)


def message(one: Message, *, inner: bool = False) -> Json:
    """Return a Message; an `inner` one, shown inside its answer, has none inside itself."""
    body: Json = {"message_id": one.id, "date": one.date, "chat": chat(one.chat)}
    if one.author is not None:
        body["from"] = user(one.author)
    if one.sender_chat is not None:
        body["sender_chat"] = chat(one.sender_chat)
    if one.topic is not None:
        body |= {"message_thread_id": one.topic.id, "is_topic_message": True}
    if one.edited is not None:
        body["edit_date"] = one.edited
    if not inner:
        body |= _answered(one)
    return {**body, **_content(one)}


def _answered(one: Message) -> Json:
    # What stands in a topic answers, on the wire, the service message that began the topic.
    root = one.chat.log.get(one.topic.id) if one.topic is not None and one.topic.id != one.id else None
    answered = one.reply_to or root
    return {} if answered is None else {"reply_to_message": message(answered, inner=True)}


def _content(one: Message) -> Json:
    if not one.text:
        return one.more
    words, marks = ("caption", "caption_entities") if one.more else ("text", "entities")
    body: Json = {**one.more, words: one.text}
    return {**body, marks: list(one.entities)} if one.entities else body
