"""A tenant's own settings: the same paths on its host and, for its keys, on the platform's."""

from __future__ import annotations

from tenants.api import keys, members, viewers
from tenants.api.routes import both

urlpatterns = [
    *both("api-keys", keys.KeysView.as_view()),
    *both("api-keys/<str:key_id>", keys.KeyView.as_view()),
    *both("api-keys/<str:key_id>/rotate", keys.KeyRotationView.as_view()),
    *both("members", members.MembersView.as_view()),
    *both("members/invitations", members.InvitationsView.as_view()),
    *both("members/invitations/<str:invitation_id>", members.InvitationView.as_view()),
    *both("members/<str:member_id>", members.MemberView.as_view()),
    *both("invitations/accept", members.AcceptanceView.as_view()),
    *both("viewer-tokens", viewers.ViewerTokensView.as_view()),
    *both("viewer-tokens/self", viewers.ViewerTokenView.as_view()),
]
