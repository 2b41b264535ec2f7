-- What we offered to somebody who used an invite is good only as long as their request is here.
CREATE TRIGGER group_offers_of_request AFTER DELETE ON group_requests BEGIN
    DELETE FROM group_offers WHERE chat = old.chat AND contact = old.contact;
END;
