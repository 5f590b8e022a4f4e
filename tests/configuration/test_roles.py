"""The roles that come with payflow."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User

VERSION = "configuration.{}_configurationversion"


def may(role: str) -> User:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.mark.django_db
def test_each_role_may_do_its_part_and_no_more():
    """Authors do not activate, approvers do not write, operators roll back, viewers look."""
    expected = {
        "viewer": {"view"},
        "operator": {"view", "rollback"},
        "author": {"view", "add", "change", "shadow"},
        "approver": {"view", "activate", "rollback"},
    }
    verbs = {"view", "add", "change", "delete", "activate", "rollback", "shadow"}

    people = {role: may(role) for role in expected}
    found = {
        role: {verb for verb in verbs if person.has_perm(VERSION.format(verb))}
        for role, person in people.items()
    }

    assert found == expected


@pytest.mark.django_db
def test_no_role_deletes_or_manages_people():
    """What a role may do is said in one place; nothing grows into it by accident."""
    granted = Permission.objects.filter(
        group__name__in=["viewer", "operator", "author", "approver"]
    )

    assert not granted.filter(codename__startswith="delete_").exists()
    assert not granted.filter(content_type__app_label__in=["auth", "admin", "sessions"]).exists()
