-- Django's own shared tables hold no tenant's data: each role may read them, none may write.

CALL guard.wall('shared.django_content_type', 'true');
CALL guard.wall('shared.auth_permission', 'true');
CALL guard.wall('shared.auth_group', 'true');
CALL guard.wall('shared.auth_group_permissions', 'true');
GRANT SELECT ON shared.django_content_type, shared.auth_permission, shared.auth_group,
  shared.auth_group_permissions TO "{platform}";
